//! Data that moves: everything out of an account, and lists and tasks into one.

use futures_util::StreamExt as _;
use taskwire_proto as pb;
use taskwire_proto::import_tasks_request::{Conflict, Item};
use taskwire_proto::user_service_client::UserServiceClient;
use tokio_stream::Stream;
use tonic::Request;

use super::Client;
use super::call::Kind;
use super::error::{Error, Result};
use super::tasks::{Tasks, service};

/// Items that go in one message: even if each is as large as it may be, that is taken.
const ITEMS_IN_MESSAGE: usize = 16;

/// How lists and tasks are taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Whether what is there with another content becomes what is taken in; else it is left alone.
    pub overwrite: bool,
    /// Whether the call only tells what it would do.
    pub validate_only: bool,
}

impl Client {
    /// Takes everything out that the service keeps of the caller's account, as pieces of a file of JSON Lines. Its last line is `end`;
    /// without it the file is not whole. It is not resumed where a connection breaks: begin again.
    pub async fn export(&self) -> Result<impl Stream<Item = Result<Vec<u8>>> + Send + Unpin + use<>> {
        let request = pb::ExportUserDataRequest { name: "users/me".to_owned() };
        let export =
            |channel, request| async move { UserServiceClient::new(channel).export_user_data(request).await };
        let pieces: tonic::Streaming<pb::HttpBody> =
            self.core.authorized(Kind::Stream, request, export).await?;
        Ok(pieces.map(|piece| piece.map(|piece| piece.data).map_err(Error::from)))
    }
}

impl Tasks {
    /// Most items of one [`import`](Self::import).
    pub const IMPORT_MAX: usize = 10_000;

    /// The tasks that a filter matches as pieces of an iCalendar file, all of them without one. Its last line is `END:VCALENDAR`;
    /// without it the file is not whole.
    pub async fn calendar(
        &self,
        filter: &str,
    ) -> Result<impl Stream<Item = Result<Vec<u8>>> + Send + Unpin + use<>> {
        let request = pb::GetCalendarRequest { parent: self.parent().to_owned(), filter: filter.to_owned() };
        let calendar = |channel, request| async move { service(channel).get_calendar(request).await };
        let pieces: tonic::Streaming<pb::HttpBody> =
            self.core().authorized(Kind::Stream, request, calendar).await?;
        Ok(pieces.map(|piece| piece.map(|piece| piece.data).map_err(Error::from)))
    }

    /// Takes lists and tasks in under the ids that they bring, and answers what became of each. Made again after a lost answer: it
    /// finds done what it asks for.
    pub async fn import(&self, items: Vec<Item>, options: ImportOptions) -> Result<pb::ImportTasksResponse> {
        let conflict = if options.overwrite { Conflict::Overwrite } else { Conflict::Keep };
        let mut messages = vec![pb::ImportTasksRequest {
            parent: self.parent().to_owned(),
            validate_only: options.validate_only,
            conflict: conflict.into(),
            items: Vec::new(),
        }];
        messages.extend(items.chunks(ITEMS_IN_MESSAGE).map(|items| pb::ImportTasksRequest {
            items: items.to_vec(),
            ..pb::ImportTasksRequest::default()
        }));
        let import = |channel, request: Request<Vec<_>>| async move {
            service(channel).import_tasks(request.map(tokio_stream::iter)).await
        };
        let answer: pb::ImportTasksResponse =
            self.core().authorized(Kind::Repeatable, messages, import).await?;
        self.note([answer.revision]);
        Ok(answer)
    }
}
