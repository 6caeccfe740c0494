//! Our side of `benches/peers/models.py`: loads the model once, `MODEL f32|bf16`, and for each line of JSON on standard
//! input does what it asks and answers with one line of JSON. Times are from texts to results: tokenising is in them,
//! reading and writing files is not.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use probity::capture::{Pool, Readout};
use probity::dialogue::{Conversation, Instruction, Round, SelfCorrection};
use probity::generate::{Decoding, Session};
use probity::hook::{Selection, Site};
use probity::level::{Levels, Metric};
use probity::model::{LoadOptions, Precision};
use probity::probe::{MeanDifferenceProbe, ProbeBank};
use probity::task::Bbq;
use probity::text::{LabelledText, Text};
use probity::{Model, NO_INSTRUCTION};
use serde::Deserialize;
use serde_json::{json, Value};

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    /// Three sites of the first layers, last token, of a file of texts; the states go to `dump`.
    Capture { texts: PathBuf, layers: Option<usize>, dump: Option<PathBuf> },
    /// Greedy continuations of exactly so many tokens, all prompts in one batch.
    Generate { prompts: Vec<String>, tokens: usize },
    /// The study on BBQ's ambiguous items, with levels; the probes go to the file `probes`, or come from it.
    Rounds { bbq: PathBuf, items: usize, rounds: usize, probes: PathBuf },
    /// Resident memory, and its peak since the last such request.
    Memory,
}

fn main() -> Result<(), Box<dyn Error>> {
    // cargo bench passes its own flags, and may pass a filter; without a model there is nothing to do.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let [path, precision] = arguments.as_slice() else {
        println!("skipped: see benches/peers/models.py");
        return Ok(());
    };
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("no such precision: {other}").into()),
    };
    let started = Instant::now();
    let model = LoadOptions::default().precision(precision).load(path)?;
    let geometry = model.geometry();
    answer(&json!({"load_seconds": started.elapsed().as_secs_f64(), "layers": geometry.layers}))?;
    for line in std::io::stdin().lock().lines() {
        answer(&match serde_json::from_str(&line?)? {
            Request::Capture { texts, layers, dump } => capture(&model, texts, layers, dump)?,
            Request::Generate { prompts, tokens } => generate(&model, &prompts, tokens)?,
            Request::Rounds { bbq, items, rounds, probes } => study(&model, bbq, items, rounds, probes)?,
            Request::Memory => memory(),
        })?;
    }
    Ok(())
}

fn answer(value: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

const SITES: [Site; 3] = [Site::ResidPost, Site::AttnOut, Site::MlpOut];

fn places(layers: Option<usize>) -> Selection {
    match layers {
        None => SITES.map(Site::all_layers).into_iter().collect(),
        Some(layers) => (0..layers).flat_map(|layer| SITES.map(|site| site.at(layer))).collect(),
    }
}

fn capture(
    model: &Model,
    texts: PathBuf,
    layers: Option<usize>,
    dump: Option<PathBuf>,
) -> Result<Value, Box<dyn Error>> {
    let texts = Text::load(texts)?;
    let readout = Readout::new(places(layers), Pool::Last);
    let started = Instant::now();
    let states = readout.capture(model, &texts)?;
    let seconds = started.elapsed().as_secs_f64();
    let mut tokens = 0;
    for text in &texts {
        tokens += model.tokenizer().encode(&text.text)?.ids.len();
    }
    if let Some(path) = dump {
        states.save(path)?;
    }
    Ok(json!({"seconds": seconds, "tokens": tokens}))
}

fn generate(model: &Model, prompts: &[String], tokens: usize) -> Result<Value, Box<dyn Error>> {
    let started = Instant::now();
    let prompts = prompts.iter().map(|prompt| Ok(model.tokenizer().encode(prompt)?.ids));
    let prompts = prompts.collect::<probity::Result<Vec<Vec<u32>>>>()?;
    let read: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    let mut session = Session::new(model);
    session.read(&read)?;
    let reading = started.elapsed().as_secs_f64();
    let answers = session.generate(&Decoding::new(tokens).stop_tokens([]))?;
    let seconds = started.elapsed().as_secs_f64();
    let ids: Vec<_> = answers.into_iter().map(|answer| answer.tokens).collect();
    let read: usize = prompts.iter().map(Vec::len).sum();
    Ok(json!({"seconds": seconds, "reading_seconds": reading, "prompt_tokens": read, "ids": ids}))
}

fn study(model: &Model, bbq: PathBuf, items: usize, rounds: usize, probes: PathBuf) -> Result<Value, Box<dyn Error>> {
    if !probes.exists() {
        // What they read does not matter here.
        let mut statements = LabelledText::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/moral_acts.jsonl"))?;
        statements.truncate(64);
        let (texts, labels) = LabelledText::as_user_turns(statements, model.template()?)?;
        let states = Readout::new(places(None), Pool::Last).capture(model, &texts)?;
        MeanDifferenceProbe::default().fit_all(&states, &labels)?.save(&probes)?;
    }
    let probes = ProbeBank::load(probes)?;
    let instruction = Instruction::named("L1")?;
    let name = instruction.name.clone();
    let task = Bbq::load(bbq)?.ambiguous().limit(items, 0);
    let protocol = SelfCorrection::new(task).instructions([instruction]).rounds(rounds).decoding(Decoding::new(8));
    let started = Instant::now();
    let study = protocol.run(model, places(None))?;
    let levels = Levels::from_study(&study, &probes)?;
    let seconds = started.elapsed().as_secs_f64();

    let mut told = Vec::new();
    // Tokens of which each had to be run once: the conversations', and the options' in each round.
    let mut tokens = 0;
    for talk in &study.conversations {
        tokens += talk.transcript.closed(model)?.ids.len();
    }
    for (row, item) in study.items.iter().enumerate() {
        for option in &item.options {
            tokens += model.tokenizer().encode_rendered(option)?.len() * study.rounds.len();
        }
        let turns = |instruction: &str| -> Vec<&str> {
            let own = |talk: &&Conversation| talk.item == item.id && talk.condition.instruction == instruction;
            let talk = study.conversations.iter().find(own);
            // What the user says: it does not depend on the answers.
            let turns = talk.map(|talk| talk.transcript.messages().iter().step_by(2));
            turns.into_iter().flatten().map(|turn| turn.content.as_str()).collect()
        };
        let answer = |round: &Round| {
            let answer = &round.answers[row];
            let totals: Vec<f64> = answer.scores.iter().map(|score| score.total).collect();
            let level = |&address| levels.get(&item.id, &round.condition, address, Metric::Dot);
            let levels: Vec<Option<f64>> = levels.addresses().iter().map(level).collect();
            json!({"text": answer.text, "totals": totals, "scored": answer.scored, "levels": levels})
        };
        told.push(json!({
            "id": item.id, "options": item.options, "plain": turns(NO_INSTRUCTION), "instructed": turns(&name),
            "answers": study.rounds.iter().map(answer).collect::<Vec<_>>(),
        }));
    }
    let addresses: Vec<String> = levels.addresses().iter().map(ToString::to_string).collect();
    Ok(json!({"seconds": seconds, "tokens": tokens, "addresses": addresses, "items": told}))
}

/// In bytes, where the system tells.
fn memory() -> Value {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let answer = json!({"resident": field("VmRSS"), "peak": field("VmHWM")});
    // From here on the peak is that of what follows.
    let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    json!({"resident": answer["resident"], "peak": answer["peak"], "reset": reset})
}
