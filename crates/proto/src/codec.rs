//! How a message becomes bytes and back: prost's encoding, in buffers of the message's size.
//!
//! tonic's own codec sets 8 KiB aside for each direction of each call, and a stream keeps both for as long as it lasts.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec as TonicCodec, EncodeBuf, Encoder as TonicEncoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// Bytes that a buffer begins with: most requests, and an answer with one task.
const BUFFER_BYTES: usize = 512;
/// Bytes of ready messages at which a stream hands them on, tonic's own value.
const YIELD_BYTES: usize = 32 * 1024;

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}

/// The codec of the services and clients of this contract.
#[derive(Debug)]
pub struct Codec<Encode, Decode> {
    messages: PhantomData<(Encode, Decode)>,
}

impl<Encode, Decode> Default for Codec<Encode, Decode> {
    fn default() -> Self {
        Self { messages: PhantomData }
    }
}

impl<Encode, Decode> TonicCodec for Codec<Encode, Decode>
where
    Encode: Message + Send + 'static,
    Decode: Message + Default + Send + 'static,
{
    type Encode = Encode;
    type Decode = Decode;
    type Encoder = Encoder<Encode>;
    type Decoder = ProstDecoder<Decode>;

    fn encoder(&mut self) -> Self::Encoder {
        Encoder { message: PhantomData }
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Encode, Decode>::raw_decoder(buffers())
    }
}

/// Encodes into a buffer that is grown once, to the size of the message.
#[derive(Debug)]
pub struct Encoder<Encode> {
    message: PhantomData<Encode>,
}

impl<Encode: Message> TonicEncoder for Encoder<Encode> {
    type Item = Encode;
    type Error = Status;

    fn encode(&mut self, message: Encode, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode_raw(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
