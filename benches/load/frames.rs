//! Frames of HTTP/2, as much of them as a client needs that only sends unary calls.

/// What a client's connection begins with.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Octets of a frame before its payload.
pub(crate) const FRAME_HEAD: usize = 9;
/// Octets of a gRPC message before its content.
pub(crate) const MESSAGE_HEAD: usize = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The largest window there is: the server never waits for this client.
const WINDOW: u32 = 0x7fff_ffff;
/// What a connection's window is before anything is said.
const WINDOW_AT_FIRST: u32 = 65_535;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) length: usize,
    kind: u8,
    flags: u8,
    pub(crate) stream: u32,
}

/// What a frame is to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of an answer's message.
    Data,
    /// Headers or trailers, whose content is not looked at.
    Headers,
    /// The server gives a stream up.
    Reset,
    /// To be acknowledged.
    Settings,
    /// To be answered.
    Ping,
    /// The server takes no more calls.
    GoAway,
    /// The server has room for so much more.
    WindowUpdate,
    /// Nothing to be done about it.
    Other,
}

impl Head {
    pub(crate) fn read(bytes: &[u8; FRAME_HEAD]) -> Self {
        let [a, b, c, kind, flags, s, t, u, v] = *bytes;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Self { length, kind, flags, stream: u32::from_be_bytes([s & 0x7f, t, u, v]) }
    }

    pub(crate) fn is_headers(&self) -> bool {
        self.kind == HEADERS
    }

    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.kind {
            DATA => Kind::Data,
            HEADERS => Kind::Headers,
            RST_STREAM => Kind::Reset,
            SETTINGS if self.flags & ACK == 0 => Kind::Settings,
            PING if self.flags & ACK == 0 => Kind::Ping,
            GOAWAY => Kind::GoAway,
            WINDOW_UPDATE => Kind::WindowUpdate,
            _ => Kind::Other,
        }
    }
}

fn push_head(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// How the connection begins.
pub(crate) fn push_opening(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE);
    push_head(out, 6, SETTINGS, 0, 0);
    out.extend_from_slice(&INITIAL_WINDOW_SIZE.to_be_bytes());
    out.extend_from_slice(&WINDOW.to_be_bytes());
    push_window(out, WINDOW - WINDOW_AT_FIRST);
}

/// Gives the server so much more room on the whole connection.
pub(crate) fn push_window(out: &mut Vec<u8>, octets: u32) {
    push_head(out, 4, WINDOW_UPDATE, 0, 0);
    out.extend_from_slice(&octets.to_be_bytes());
}

/// One call: its headers, and a message in one piece.
pub(crate) fn push_call(out: &mut Vec<u8>, stream: u32, block: &[u8], message: &impl prost::Message) {
    push_head(out, block.len(), HEADERS, END_HEADERS, stream);
    out.extend_from_slice(block);
    let length = message.encoded_len();
    push_head(out, MESSAGE_HEAD + length, DATA, END_STREAM, stream);
    out.push(0);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.reserve(length);
    // There is room for it: a vector grows.
    let _ = message.encode(out);
}

pub(crate) fn push_settings_ack(out: &mut Vec<u8>) {
    push_head(out, 0, SETTINGS, ACK, 0);
}

pub(crate) fn push_ping_ack(out: &mut Vec<u8>, payload: &[u8]) {
    push_head(out, payload.len(), PING, ACK, 0);
    out.extend_from_slice(payload);
}
