//! Jinja as transformers sets it up for chat templates, within bounds.

use std::io::{Error as IoError, Result as IoResult, Write};

use minijinja::machinery::{parse, tokenize, WhitespaceConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{from_args, Kwargs, Rest};
use minijinja::{filters, AutoEscape, Environment, Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::bounds::{
    held, refused, rewritten, spend, weigh, HELD_FILTER, MAX_INSTRUCTIONS, MAX_SOURCE_BYTES, MAX_TEXT_BYTES,
};
use super::date;

/// Stack for parsing: what chains of operators and conditions need that fill the longest source.
const PARSER_STACK_BYTES: usize = 512 << 20;

const TEMPLATE_NAME: &str = "chat";

/// A compiled template in its environment.
pub(super) fn compile(source: &str) -> Result<Environment<'static>, Error> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(refused(&format!("has {} bytes; at most {MAX_SOURCE_BYTES} are read", source.len())));
    }
    let source = without_generation_tags(source);
    let whitespace = WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };
    let compiling = || {
        let root = parse(&source, TEMPLATE_NAME, SyntaxConfig, whitespace)?;
        let tokens = tokenize(&source, false, SyntaxConfig, whitespace)
            .map(|token| Ok(token?.1.start_offset as usize))
            .collect::<Result<_, Error>>()?;
        let (bounded, longest) = rewritten(&source, &root, tokens)?;
        let mut environment = environment();
        // Plain text that is captured is counted by nothing but the instructions that write it.
        let fuel = longest
            .map_or(MAX_INSTRUCTIONS, |longest| MAX_INSTRUCTIONS.min((4 * MAX_TEXT_BYTES / longest.max(1)) as u64));
        environment.set_fuel(Some(fuel));
        environment.add_template_owned(TEMPLATE_NAME, bounded)?;
        Ok(environment)
    };
    let failed = || refused("could not be compiled in a thread of its own");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, compiling);
        thread.map_err(|_| failed())?.join().map_err(|_| failed())?
    })
}

/// Renders into a text.
pub(super) fn render(environment: &Environment, context: impl Serialize) -> Result<String, Error> {
    let mut out = Limited(Vec::new());
    environment.get_template(TEMPLATE_NAME)?.render_captured_to(context, &mut out)?;
    String::from_utf8(out.0).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// Takes so many bytes and no more.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        if self.0.len() + bytes.len() > MAX_TEXT_BYTES {
            return Err(IoError::other(format!("more than {MAX_TEXT_BYTES} bytes")));
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

/// As transformers sets it up (`_compile_jinja_template`): blocks trimmed, nothing escaped, methods of Python's
/// types, `raise_exception`, `strftime_now`, its own `tojson`.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, state, value| {
        weigh(state, value)?;
        if value.is_undefined() {
            return Ok(());
        }
        write!(out, "{value}").map_err(Error::from)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, format!("the template refuses: {message}")))
    });
    environment.add_function("strftime_now", |format: &str| date::now(format));
    environment.add_filter(HELD_FILTER, held);
    environment.add_filter("tojson", to_json);
    // Those that can make much of little say first how much.
    environment.add_filter("join", |state: &State, value: &Value, joiner: Option<&str>| {
        joined(state, value, joiner.unwrap_or_default())
    });
    environment
        .add_filter("replace", |state: &State, text: &str, from: &str, to: &str| replaced(state, text, from, to, None));
    environment.add_filter("indent", |state: &State, text: &str, rest: Rest<Value>| {
        let width = rest.first().and_then(|width| usize::try_from(width.clone()).ok()).unwrap_or(4);
        let named = rest.last().and_then(|last| last.get_attr("width").ok()).and_then(|w| usize::try_from(w).ok());
        let lines = text.bytes().filter(|&byte| byte == b'\n').count() + 1;
        spend(state, lines.saturating_mul(width.max(named.unwrap_or(0))).saturating_add(text.len()))?;
        let arguments: Vec<Value> = std::iter::once(Value::from(text)).chain(rest.0).collect();
        let (text, width, first, blank, named) = from_args(&arguments)?;
        filters::indent(text, width, first, blank, named)
    });
    environment.add_filter("batch", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        spend(state, count.saturating_mul(32))?;
        filters::batch(state, value, count, fill)
    });
    environment.add_filter("slice", |state: &State, value: Value, count: usize, fill: Option<Value>| {
        spend(state, count.saturating_mul(32))?;
        filters::slice(state, value, count, fill)
    });
    environment.add_filter("format", |state: &State, text: &Value, values: Rest<Value>| {
        narrow(text.as_str().unwrap_or_default())?;
        filters::format(state, text, values)
    });
    environment
}

/// Methods of Python's types.
fn method(state: &State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let text = value.as_str();
    match (name, text) {
        ("join", Some(joiner)) => {
            let (values,): (&Value,) = from_args(arguments)?;
            joined(state, values, joiner)
        }
        ("replace", Some(text)) => {
            let (from, to, count): (&str, &str, Option<i64>) = from_args(arguments)?;
            replaced(state, text, from, to, count.and_then(|count| usize::try_from(count).ok()))
        }
        ("format", Some(text)) => {
            narrow(text)?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

fn joined(state: &State, values: &Value, joiner: &str) -> Result<Value, Error> {
    let mut out = String::new();
    for (number, value) in values.try_iter()?.enumerate() {
        weigh(state, &value)?;
        if number > 0 {
            spend(state, joiner.len())?;
            out.push_str(joiner);
        }
        match value.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&value.to_string()),
        }
    }
    Ok(out.into())
}

fn replaced(state: &State, text: &str, from: &str, to: &str, count: Option<usize>) -> Result<Value, Error> {
    let times = text.matches(from).count().min(count.unwrap_or(usize::MAX));
    spend(state, times.saturating_mul(to.len()).saturating_add(text.len()))?;
    Ok(text.replacen(from, to, times).into())
}

/// Refuses widths of five digits and more, or taken from a value, in a format.
fn narrow(format: &str) -> Result<(), Error> {
    let digits = format.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    if digits > 4 || format.contains('*') {
        return Err(refused("formats with too large a width"));
    }
    Ok(())
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn to_json(state: &State, value: &Value, indent: Option<usize>, named: Kwargs) -> Result<Value, Error> {
    weigh(state, value)?;
    let indent = indent.or(named.get::<Option<usize>>("indent").unwrap_or_default());
    let mut out = Limited(Vec::new());
    let outcome = match indent {
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
        Some(width) if width > 100 => return Err(refused("indents too far")),
        Some(width) => {
            let blank = " ".repeat(width);
            value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(blank.as_bytes())))
        }
    };
    outcome.map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}")))?;
    spend(state, out.0.len())?;
    Ok(String::from_utf8_lossy(&out.0).into())
}

/// Separators as Python writes them.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> IoResult<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> IoResult<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> IoResult<()> {
        out.write_all(b": ")
    }
}

/// transformers' `{% generation %}` marks the model's words for training and leaves them as they are: a condition
/// that always holds.
fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = rest
        .find("{%")
        .and_then(|start| rest[start..].find("%}").map(|length| (start, start + length)))
        .and_then(|(start, end)| Some((rest.get(..start + 2)?, rest.get(start + 2..end)?, rest.get(end..)?)))
    {
        out.push_str(before);
        match tag.trim_matches(['-', '+']).trim() {
            "generation" => out.push_str(&tag.replace("generation", " if true ")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", " endif ")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out + rest
}
