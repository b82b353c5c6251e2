//! `min_revision`, which a service without standbys has always fulfilled.

use taskwire::pb;

use super::{Session, alone, listing, titled, titles};
use crate::support::both_engines;
use crate::support::database::TestDatabase;
use crate::support::refusal::{Answer, Refused as _};
use crate::support::server::answer;

both_engines!(a_negative_one_is_refused, any_other_is_answered_with_all_there_is);

const PARENT: &str = "users/me";

/// What each read that takes one answers, as the titles or the number of what is there.
async fn reads(ada: &Session, name: &str, min_revision: Option<i64>) -> Vec<Answer<String>> {
    let (name, parent) = (name.to_owned(), PARENT.to_owned());
    let get = pb::GetTaskRequest { name: name.clone(), min_revision, revision: None };
    let batch = pb::BatchGetTasksRequest { parent: parent.clone(), names: vec![name], min_revision };
    let list = pb::ListTasksRequest { min_revision, ..listing() };
    let count = pb::CountTasksRequest { parent: parent.clone(), min_revision, ..Default::default() };
    let changes = pb::ListTaskChangesRequest { parent, min_revision, ..Default::default() };
    let (got, many) = (ada.tasks().get_task(get).await, ada.tasks().batch_get_tasks(batch).await);
    let (listed, counted) = (ada.tasks().list_tasks(list).await, ada.tasks().count_tasks(count).await);
    let changed = ada.tasks().list_task_changes(changes).await;
    vec![
        answer(got).map(|task| task.title),
        answer(many).map(|found| titles(&found.tasks).concat()),
        answer(listed).map(|page| titles(&page.tasks).concat()),
        answer(counted).map(|counts| counts.total.to_string()),
        answer(changed).map(|page| page.current_revision.to_string()),
    ]
}

async fn a_negative_one_is_refused(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    for number in [-1, i64::MIN] {
        for refused in reads(&ada, &task.name, Some(number)).await {
            refused.refused_at("FIELD_INVALID", &["min_revision"]);
        }
    }
}

async fn any_other_is_answered_with_all_there_is(database: TestDatabase) {
    let (_server, ada) = alone(database).await;
    let task = ada.create(titled("x")).await.unwrap();
    for number in [None, Some(0), Some(task.revision), Some(task.revision + 1), Some(i64::MAX)] {
        let answers: Vec<String> =
            reads(&ada, &task.name, number).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, ["x", "x", "x", "1", "1"], "{number:?}");
    }
}
