//! Events as lines of JSON: `timestamp`, `level`, the fields of the event, `target`.
//!
//! `tracing-subscriber` has such a format, by way of a serializer for each value; it costs a call almost twice as much.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format.
#[derive(Debug, Clone, Copy)]
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields { writer: &mut writer, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        writer.write_str(",\"target\":\"")?;
        Escaped(&mut writer).write_str(event.metadata().target())?;
        writer.write_str("\"}\n")
    }
}

/// Writes each field that it is shown.
struct Fields<'a, W> {
    writer: &'a mut W,
    written: fmt::Result,
}

impl<W: fmt::Write> Fields<'_, W> {
    fn value(&mut self, field: &Field, write: impl FnOnce(&mut W) -> fmt::Result) {
        let mut begin = || {
            self.writer.write_str(",\"")?;
            // As Rust spells a name that is a keyword.
            Escaped(self.writer).write_str(field.name().trim_start_matches("r#"))?;
            self.writer.write_str("\":")
        };
        if self.written.is_ok() {
            self.written = begin().and_then(|()| write(self.writer));
        }
    }

    fn text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        self.value(field, |writer| {
            writer.write_char('"')?;
            match text.as_str() {
                Some(text) => Escaped(writer).write_str(text)?,
                None => Escaped(writer).write_fmt(text)?,
            }
            writer.write_char('"')
        });
    }
}

impl<W: fmt::Write> Visit for Fields<'_, W> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, |writer| match value.is_finite() {
            true => write!(writer, "{value}"),
            // JSON knows no other numbers.
            false => writer.write_str("null"),
        });
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.value(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }
}

/// Text as it stands between the quotation marks of a JSON string (RFC 8259, section 7).
struct Escaped<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.write_str(&text[plain_from..at])?;
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                control => write!(self.0, "\\u{control:04x}")?,
            }
            plain_from = at + 1;
        }
        self.0.write_str(&text[plain_from..])
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::JsonLines;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(log: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let made = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(JsonLines).with_writer(move || made.clone()).finish();
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn any_value_is_read_back_as_it_was() {
        let every_ascii: String = (0..128_u8).map(char::from).chain("ü \u{2028} 🦀".chars()).collect();
        let lines = logged(|| {
            tracing::warn!(
                target: "a \"target\"",
                text = every_ascii,
                debug = ?every_ascii,
                shown = %every_ascii,
                count = -3,
                large = u64::MAX,
                half = 0.5,
                tiny = 1e-7,
                nan = f64::NAN,
                yes = true,
                none = None::<&str>,
                r#type = 1,
                "said \"{}\"\n",
                "so",
            );
        });
        let mut line = lines[0].clone();
        let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(
            timestamp.as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 27),
            "{timestamp}"
        );
        let expected = json!({
            "level": "WARN",
            "target": "a \"target\"",
            "message": "said \"so\"\n",
            "text": every_ascii,
            "debug": format!("{every_ascii:?}"),
            "shown": every_ascii,
            "count": -3,
            "large": u64::MAX,
            "half": 0.5,
            "tiny": 1e-7,
            "nan": null,
            "yes": true,
            "type": 1,
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn each_event_is_one_line() {
        let lines = logged(|| {
            tracing::info!("one\ntwo");
            tracing::info!("three");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["message"], "three");
    }
}
