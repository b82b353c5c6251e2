//! A connection and its callers: writes calls, reads answers, and hands neither to anybody in between.
//!
//! The generator shares the machine with what it measures. So an answer is only looked at as far as is needed to know that
//! there is one: its message came as long as it said, and the stream ended.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Instant;

use prost::Message as _;
use taskwire::pb;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::Result;
use crate::blocks::Blocks;
use crate::course::{Course, Tally};
use crate::frames::{self, FRAME_HEAD, Head, Kind, MESSAGE_HEAD};
use crate::plan::Work;

/// Octets that are read at once.
const READ: usize = 256 * 1024;
/// Octets after which the server is given room anew.
const ROOM: u32 = 512 * 1024 * 1024;

/// A call under way.
#[derive(Debug)]
struct Call {
    stream: u32,
    place: usize,
    begin: Instant,
    /// The message as far as it is here; of answers that nobody looks at, only its head.
    message: Vec<u8>,
    octets: usize,
}

impl Call {
    /// Whether the message is here as a whole.
    fn is_answered(&self) -> bool {
        match self.message.get(..MESSAGE_HEAD) {
            Some([0, length @ ..]) => {
                let length = length.try_into().map_or(u32::MAX, u32::from_be_bytes);
                self.octets == MESSAGE_HEAD + length as usize
            }
            _ => false,
        }
    }
}

/// One connection with its callers.
struct Caller<'a> {
    course: &'a Course,
    blocks: &'a Blocks,
    out: Vec<u8>,
    calls: Vec<Call>,
    next_stream: u32,
    /// Octets of DATA that the server still takes.
    window: i64,
    taken: u32,
    random: fastrand::Rng,
    tally: Tally,
}

/// Calls over one connection, as many calls at a time as there are callers, until the course is over.
pub(crate) async fn call(
    course: &Course,
    blocks: &Blocks,
    server: SocketAddr,
    callers: usize,
) -> Result<Tally> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    let mut caller = Caller {
        course,
        blocks,
        out: Vec::with_capacity(READ),
        calls: Vec::with_capacity(callers),
        next_stream: 1,
        window: 65_535,
        taken: 0,
        random: fastrand::Rng::new(),
        tally: Tally::default(),
    };
    frames::push_opening(&mut caller.out);
    for _ in 0..callers {
        caller.begin_call()?;
    }
    let mut read = vec![0; READ];
    let mut filled = 0;
    while !caller.calls.is_empty() {
        let interest =
            if caller.out.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = socket.ready(interest).await?;
        if ready.is_readable() {
            match socket.try_read(&mut read[filled..]) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => {
                    filled += count;
                    let used = caller.take(&read[..filled])?;
                    read.copy_within(used..filled, 0);
                    filled -= used;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !caller.out.is_empty() {
            match socket.try_write(&caller.out) {
                Ok(count) => drop(caller.out.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(caller.tally)
}

impl Caller<'_> {
    /// Takes in the frames that are here as a whole; answers how many octets those were.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        while let Some(head) = bytes[at..].first_chunk::<FRAME_HEAD>() {
            let head = Head::read(head);
            let Some(payload) = bytes.get(at + FRAME_HEAD..at + FRAME_HEAD + head.length) else { break };
            at += FRAME_HEAD + head.length;
            self.take_frame(head, payload)?;
        }
        Ok(at)
    }

    fn take_frame(&mut self, head: Head, payload: &[u8]) -> Result<()> {
        match head.kind() {
            Kind::Data => self.take_data(head.stream, payload),
            Kind::Settings => frames::push_settings_ack(&mut self.out),
            Kind::Ping => frames::push_ping_ack(&mut self.out, payload),
            Kind::WindowUpdate if head.stream == 0 => {
                let octets = payload.first_chunk::<4>().map_or(0, |octets| u32::from_be_bytes(*octets));
                self.window += i64::from(octets);
            }
            Kind::GoAway => return Err("the server takes no more calls".into()),
            Kind::Reset => return self.end_call(head.stream),
            Kind::Headers | Kind::WindowUpdate | Kind::Other => {}
        }
        if head.ends_stream() { self.end_call(head.stream) } else { Ok(()) }
    }

    fn take_data(&mut self, stream: u32, payload: &[u8]) {
        self.taken += u32::try_from(payload.len()).unwrap_or(0);
        if self.taken > ROOM {
            frames::push_window(&mut self.out, std::mem::take(&mut self.taken));
        }
        let wanted = if self.course.work == Work::Create { usize::MAX } else { MESSAGE_HEAD };
        if let Some(call) = self.calls.iter_mut().find(|call| call.stream == stream) {
            let missing = wanted.saturating_sub(call.message.len()).min(payload.len());
            call.message.extend_from_slice(&payload[..missing]);
            call.octets += payload.len();
        }
    }

    fn end_call(&mut self, stream: u32) -> Result<()> {
        let Some(at) = self.calls.iter().position(|call| call.stream == stream) else { return Ok(()) };
        let call = self.calls.swap_remove(at);
        let is_answered = call.is_answered();
        if is_answered && self.course.work == Work::Create {
            let task = pb::Task::decode(&call.message[MESSAGE_HEAD..])?;
            self.course.world.put_fresh(call.place, task.name);
        }
        if self.course.is_measuring() {
            if is_answered {
                self.tally.nanos.push(u64::try_from(call.begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            } else {
                self.tally.failed += 1;
            }
        }
        if self.course.is_over() { Ok(()) } else { self.begin_call() }
    }

    fn begin_call(&mut self) -> Result<()> {
        let world = &self.course.world;
        let is_first = self.next_stream == 1;
        let mut place = if is_first { 0 } else { self.random.usize(..world.accounts.len()) };
        let length = self.out.len();
        let stream = self.next_stream;
        let mut before_data = length + 2 * FRAME_HEAD;
        let mut push = |out: &mut Vec<u8>, place: usize, message: &dyn Encode| {
            let block = if is_first { &self.blocks.opening } else { &self.blocks.later[place] };
            message.push(out, stream, block);
            before_data += block.len();
        };
        let min_revision = self.course.min_revision;
        match self.course.work {
            Work::Get => {
                let name = world.any_task(place, &mut self.random);
                push(&mut self.out, place, &pb::GetTaskRequest { name, min_revision, revision: None });
            }
            Work::Create => {
                let (parent, task) = (world.accounts[place].name.clone(), Some(crate::world::new_task()));
                push(&mut self.out, place, &pb::CreateTaskRequest { parent, task, ..Default::default() });
            }
            Work::Update => {
                let name = world.any_task(place, &mut self.random);
                let title = format!("Task {}", self.random.u32(..1_000_000_000));
                let task = Some(pb::Task { name, title, ..Default::default() });
                let update_mask = Some(prost_types::FieldMask { paths: vec!["title".to_owned()] });
                push(
                    &mut self.out,
                    place,
                    &pb::UpdateTaskRequest { task, update_mask, ..Default::default() },
                );
            }
            Work::Delete => {
                let Some((of, name)) = world.take_fresh(is_first.then_some(0)) else {
                    self.course.exhaust();
                    return Ok(());
                };
                place = of;
                push(&mut self.out, place, &pb::DeleteTaskRequest { name, ..Default::default() });
            }
            Work::List => {
                let parent = world.accounts[place].name.clone();
                push(
                    &mut self.out,
                    place,
                    &pb::ListTasksRequest { parent, page_size: 50, min_revision, ..Default::default() },
                );
            }
        }
        self.window -= i64::try_from(self.out.len() - before_data)?;
        if self.window < 0 {
            return Err("the server takes no more of what is sent".into());
        }
        self.next_stream += 2;
        let (begin, message) = (Instant::now(), Vec::new());
        self.calls.push(Call { stream, place, begin, message, octets: 0 });
        Ok(())
    }
}

/// A message of any type.
trait Encode {
    fn push(&self, out: &mut Vec<u8>, stream: u32, block: &[u8]);
}

impl<M: prost::Message> Encode for M {
    fn push(&self, out: &mut Vec<u8>, stream: u32, block: &[u8]) {
        frames::push_call(out, stream, block, self);
    }
}
