//! Which list is meant by a title or a piece of an id.

use super::table::short_id;
use super::text::visible;
use super::{Context, Failure};
use crate::pb::TaskList;

/// Shorter pieces of an id are mistakes rather than ids.
const PIECE_MIN: usize = 4;
/// So many are told where several are meant.
const TOLD_MAX: usize = 5;

/// A list in a line.
pub(super) fn list_line(list: &TaskList) -> String {
    format!("{}  {}", short_id(&list.name), visible(&list.title))
}

/// The list that is meant: by its name, its title, or the beginning or end of its id.
pub(super) async fn which(context: &Context, given: &str, deleted: bool) -> Result<TaskList, Failure> {
    let tasks = context.client.tasks();
    let refused = |error| context.service.refused(&error);
    if given.contains('/') {
        return tasks.get_list(given).await.map_err(refused);
    }
    let lists = tasks.lists(deleted).await.map_err(refused)?;
    let lists: Vec<TaskList> =
        lists.into_iter().filter(|list| list.delete_time.is_some() == deleted).collect();
    let piece = given.to_ascii_lowercase();
    let is_piece =
        piece.len() >= PIECE_MIN && piece.chars().all(|char| char.is_ascii_hexdigit() || char == '-');
    let id = |list: &TaskList| list.name.rsplit('/').next().unwrap_or_default().to_owned();
    // The exact title, then any spelling of it, then the id.
    let fits: [&dyn Fn(&TaskList) -> bool; 3] =
        [&|list| list.title == given, &|list| list.title.to_lowercase() == given.to_lowercase(), &|list| {
            is_piece && (id(list).starts_with(&piece) || id(list).ends_with(&piece))
        }];
    for fits in fits {
        let found: Vec<&TaskList> = lists.iter().filter(|list| fits(list)).collect();
        match found.as_slice() {
            [] => {}
            [list] => return Ok((*list).clone()),
            several => {
                let first = format!("{} lists are meant by {}; give the id", several.len(), visible(given));
                let told = several
                    .iter()
                    .take(TOLD_MAX)
                    .map(|list| format!("{}  {}", visible(&id(list)), visible(&list.title)));
                return Err(Failure { lines: std::iter::once(first).chain(told).collect(), status: 1 });
            }
        }
    }
    let (kind, shown) = if deleted { ("deleted list", " --deleted") } else { ("list", "") };
    let next = format!("`taskwire list show{shown}` shows them");
    Err(Failure::new(format!("no {kind} is called {}; {next}", visible(given))))
}
