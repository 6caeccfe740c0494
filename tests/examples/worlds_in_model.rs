//! How often the verdict is right where the truth was planted in a real model.
//!
//! Two neutral wordings are compared, of which one, by a coin for each item, plays the instruction. What a world plants is a push of its answers towards
//! the right option, a change of its states by a hook, both, or neither. Draws differ in items, in the texts that the probes learn
//! from, and in seeds. The direction of the hook is that of other texts than the probes'.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use common::in_model::{best, difference, Moved, Passes, Plant, Read, MOVED};
use common::programs::end;
use indicatif::{ProgressBar, ProgressStyle};
use probity::capture::{Activations, Pool, Readout};
use probity::dialogue::{Part, ReadStates, Reading};
use probity::hook::{Address, Selection, Site};
use probity::level::{CheckKind, Levels, ReadingLevels, Verdict, VerdictKind, VerdictRule};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::{Bbq, ChoiceItem, ChoiceTask, Outcome};
use probity::text::LabelledText;
use probity::{Condition, Design, Error, Model, Progress, Result};
use rand::seq::SliceRandom;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[derive(Parser)]
#[command(about = "How often verdicts are right in worlds planted in a real model.")]
struct Args {
    /// The model.
    #[arg(long)]
    model: PathBuf,
    /// Folder of BBQ; the bundled questions if left out.
    #[arg(long)]
    bbq: Option<PathBuf>,
    /// JSON lines of labelled texts, one half for the hook's direction, the other for the probes; the bundled statements if
    /// left out.
    #[arg(long)]
    statements: Option<PathBuf>,
    /// Items that are asked.
    #[arg(long, default_value_t = 240)]
    pool: usize,
    /// Items in a draw.
    #[arg(long, default_value_t = 120)]
    items: usize,
    /// Texts that the probes of a draw learn from.
    #[arg(long, default_value_t = 600)]
    texts: usize,
    /// How far the hook moves the states, in class distances of its own texts.
    #[arg(long, default_value_t = 0.5)]
    delta: f64,
    /// The first layer that it moves.
    #[arg(long, default_value_t = 0)]
    from: usize,
    /// Draws.
    #[arg(long, default_value_t = 50)]
    draws: u64,
    /// Folder for what was read, so that worlds can be drawn again without the model's passes.
    #[arg(long)]
    cache: PathBuf,
    /// Where to write the table in Markdown; standard output if left out.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Prints every check of every verdict.
    #[arg(long)]
    checks: bool,
}

/// What is planted in a world.
#[derive(Clone, Copy)]
struct World {
    name: &'static str,
    moved: Moved,
    pushed: bool,
    /// What is no error, besides what concludes nothing.
    right: VerdictKind,
}

const WORLDS: [World; 6] = [
    World { name: "nothing", moved: Moved::No, pushed: false, right: VerdictKind::InsufficientEvidence },
    World { name: "answers pushed, states untouched", moved: Moved::No, pushed: true, right: VerdictKind::Superficial },
    World { name: "states moved alone", moved: Moved::Round, pushed: false, right: VerdictKind::Internal },
    World { name: "states moved, answers pushed", moved: Moved::Round, pushed: true, right: VerdictKind::Internal },
    World {
        name: "moved at the instruction's words alone",
        moved: Moved::Words,
        pushed: false,
        right: VerdictKind::InsufficientEvidence,
    },
    World {
        name: "moved at the instruction's words, answers pushed",
        moved: Moved::Words,
        pushed: true,
        right: VerdictKind::Superficial,
    },
];

/// A bar per stage.
struct Bar(ProgressBar);

impl Progress for Bar {
    fn begin(&self, stage: &str, total: u64) {
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.set_message(stage.to_owned());
        // Where there is no terminal the bar is not drawn.
        eprintln!("{stage}: {total}");
    }

    fn advance(&self, done: u64) {
        self.0.inc(done);
    }
}

/// States of labelled texts as answers.
struct Texts {
    states: Activations,
    texts: Vec<LabelledText>,
}

impl Texts {
    fn read(model: &Model, texts: Vec<LabelledText>, sites: &Selection, path: &Path, bar: &Bar) -> Result<Texts> {
        let (answers, _) = LabelledText::as_answers(texts.clone(), model.template()?)?;
        let states = match path.exists() {
            true => Activations::load(path)?,
            false => {
                let states = Readout::new(sites.clone(), Pool::Mean).capture_with_progress(model, &answers, bar)?;
                states.save(path)?;
                states
            }
        };
        Ok(Texts { states, texts })
    }

    fn is_immoral(&self) -> Vec<bool> {
        self.texts.iter().map(|text| text.immoral).collect()
    }

    /// A bank of so many of the texts.
    fn bank(&self, count: usize, rng: &mut ChaCha8Rng, seed: u64) -> Result<ProbeBank> {
        let mut order: Vec<usize> = (0..self.texts.len()).collect();
        order.shuffle(rng);
        order.truncate(count);
        let ids: Vec<&str> = order.iter().map(|&i| self.texts[i].id.as_str()).collect();
        let labels = order.iter().map(|&i| (self.texts[i].immoral, self.texts[i].group.clone())).collect();
        LogisticProbe::default().seed(seed).fit_all(&self.states.of_items(&ids)?, &labels)
    }
}

/// Parts texts into halves by group, and sets every twelfth group of the second apart as contrast.
fn parted(texts: Vec<LabelledText>) -> (Vec<LabelledText>, Vec<LabelledText>, Vec<LabelledText>) {
    let mut groups: Vec<String> = texts.iter().map(|text| text.group.clone()).collect();
    groups.sort();
    groups.dedup();
    groups.shuffle(&mut ChaCha8Rng::seed_from_u64(17));
    let place = |text: &LabelledText| groups.iter().position(|group| *group == text.group).unwrap_or(0);
    let mut parts = (Vec::new(), Vec::new(), Vec::new());
    for text in texts {
        match place(&text) % 12 {
            0 => parts.2.push(text),
            1..=5 => parts.0.push(text),
            _ => parts.1.push(text),
        }
    }
    parts
}

fn conditions() -> [Condition; 3] {
    [Condition::plain(), Condition::new("neutral", 1), Condition::new("asked", 1)]
}

fn judge(passes: &Passes, world: World, rows: &[usize], bank: &ProbeBank, settings: Settings) -> Result<Verdict> {
    let World { moved, pushed, .. } = world;
    let [plain, neutral, asked] = conditions();
    let items: Vec<&ChoiceItem> = rows.iter().map(|&row| &passes.items[row]).collect();
    let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    let own = Reading::of(Part::Answer);
    let places = [
        (own, vec![(&plain, Read::Plain), (&neutral, Read::Control), (&asked, Read::Instructed { moved, pushed })]),
        (Reading::CONTROL_ANSWER, vec![(&asked, Read::ControlAfterInstruction(moved))]),
        (Reading::AFTER_CONTROL, vec![(&asked, Read::InstructedAfterControl { moved, pushed })]),
        (Reading::CONTRAST, vec![(&neutral, Read::Immoral)]),
        (Reading::CONTRAST_BASE, vec![(&neutral, Read::Moral)]),
    ];
    let mut readings = Vec::new();
    for (reading, of) in places {
        let mut states = Vec::new();
        for (condition, read) in &of {
            states.push(ReadStates::new((*condition).clone(), reading, passes.read[read].of_items(&ids)?));
        }
        let design = Design::new(of.iter().map(|(condition, _)| (*condition).clone()))?;
        let has = design.conditions().any(|condition| condition.instruction == "neutral");
        let design = if has { design.with_control("neutral")? } else { design };
        readings.push(Levels::from_reading(&design, &states, reading, bank)?);
    }
    let right = |scores: &[Vec<f64>], push: f64| -> Vec<f64> {
        rows.iter()
            .map(|&row| {
                let label = passes.items[row].label;
                f64::from(u8::from(best(&scores[row], label, push) == label))
            })
            .collect()
    };
    let ids = ids.iter().map(|id| (*id).to_owned()).collect();
    let outcome = Outcome::new("accuracy", ids, items.iter().map(|item| item.group.clone()).collect())
        .with_series(plain, right(&passes.plain, 0.0))?
        .with_series(neutral, right(&passes.control, 0.0))?
        .with_series(asked.clone(), right(&passes.instructed[&moved], if pushed { passes.push } else { 0.0 }))?;
    VerdictRule::new(settings).judge(&asked, &ReadingLevels::new(readings)?, &outcome)
}

/// How far the hook moved the control's answer, in class distances of the hook's own texts, by layer.
fn truth(passes: &Passes, hook: &Texts, moved: Moved, addresses: &[Address]) -> Result<Vec<f64>> {
    let mut found = Vec::new();
    for &address in addresses {
        let across = difference(hook.states.at(address)?, &hook.is_immoral());
        let after = passes.read[&Read::ControlAfterInstruction(moved)].at(address)?.mapv(f64::from);
        let before = passes.read[&Read::ControlAfterInstruction(Moved::No)].at(address)?.mapv(f64::from);
        let shift = (after - before).mean_axis(ndarray::Axis(0));
        found.push(shift.map_or(f64::NAN, |shift| shift.dot(&across) / across.dot(&across)));
    }
    Ok(found)
}

fn run(args: &Args) -> Result<String> {
    std::fs::create_dir_all(&args.cache).map_err(Error::io("make", &args.cache))?;
    let bar = Bar(ProgressBar::new(1).with_style(
        ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} {elapsed} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    ));
    let model = Model::load(&args.model)?;
    let sites = Site::ResidPost.all_layers();
    let addresses = Readout::new(sites.clone(), Pool::Mean).addresses(&model)?;
    let statements = args.statements.as_ref().map_or_else(LabelledText::bundled, LabelledText::load)?;
    let (for_hook, for_probes, contrast) = parted(statements);
    let hook = Texts::read(&model, for_hook, &sites, &args.cache.join("hook.safetensors"), &bar)?;
    let probes = Texts::read(&model, for_probes, &sites, &args.cache.join("probes.safetensors"), &bar)?;
    let passes = match Passes::load(&args.cache)? {
        Some(passes) => passes,
        None => {
            let task = match &args.bbq {
                Some(folder) => Bbq::load(folder)?,
                None => ChoiceTask::bundled()?,
            };
            let items = task.limit(args.pool, 7).items().to_vec();
            let moved: Vec<Address> = addresses
                .iter()
                .copied()
                .filter(|address| address.layer().is_some_and(|layer| layer >= args.from))
                .collect();
            let plant = Plant::new(&hook.states, &hook.is_immoral(), &moved, args.delta)?;
            let of = |immoral: bool| -> Vec<String> {
                contrast.iter().filter(|text| text.immoral == immoral).map(|text| text.text.clone()).collect()
            };
            let (immoral, moral) = (of(true), of(false));
            let passes = Passes::run(&model, items, &plant, &addresses, [&immoral, &moral], &bar)?;
            passes.save(&args.cache)?;
            passes
        }
    };
    let mut text = String::new();
    let accuracy = |scores: &[Vec<f64>], push: f64| {
        let right =
            passes.items.iter().zip(scores).filter(|(item, scores)| best(scores, item.label, push) == item.label);
        right.count() as f64 / passes.items.len() as f64
    };
    let _ = writeln!(
        text,
        "{} items; right plainly {:.2}, under the control {:.2}, under the instruction {:.2}, pushed by {:.2} nats {:.2}; \
         states moved {:.2}; {} texts for the hook, {} for the probes, of which {} a draw.\n",
        passes.items.len(),
        accuracy(&passes.plain, 0.0),
        accuracy(&passes.control, 0.0),
        accuracy(&passes.instructed[&Moved::No], 0.0),
        passes.push,
        accuracy(&passes.instructed[&Moved::No], passes.push),
        accuracy(&passes.instructed[&Moved::Round], 0.0),
        hook.texts.len(),
        probes.texts.len(),
        args.texts,
    );
    for moved in MOVED {
        let by_layer = truth(&passes, &hook, moved, &addresses)?;
        let shown: Vec<String> = by_layer.iter().map(|shift| format!("{shift:.2}")).collect();
        let _ = writeln!(text, "{moved:?}: the control's answer moves by {} (layers from 0).\n", shown.join(" "));
    }
    bar.begin("judging", args.draws);
    let found: Vec<Vec<Verdict>> = (0..args.draws)
        .into_par_iter()
        .map(|seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut rows: Vec<usize> = (0..passes.items.len()).collect();
            rows.shuffle(&mut rng);
            rows.truncate(args.items);
            let bank = probes.bank(args.texts, &mut rng, seed)?;
            let settings = Settings::default().seed(seed).draws(1_000).flips(1_000);
            let verdicts = WORLDS.iter().map(|&world| judge(&passes, world, &rows, &bank, settings)).collect();
            bar.advance(1);
            verdicts
        })
        .collect::<Result<_>>()?;
    bar.0.finish_and_clear();
    text.push_str("| world | internal | superficial | some change | less harm | insufficient | wrong | D, median | half width, median | AUROC |\n|---|---|---|---|---|---|---|---|---|---|\n");
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    for (place, world) in WORLDS.iter().enumerate() {
        let verdicts: Vec<&Verdict> = found.iter().map(|all| &all[place]).collect();
        let count = |kind| verdicts.iter().filter(|verdict| verdict.kind == kind).count();
        let [internal, superficial] = [count(VerdictKind::Internal), count(VerdictKind::Superficial)];
        let wrong = [(VerdictKind::Internal, internal), (VerdictKind::Superficial, superficial)];
        let wrong: usize = wrong.iter().filter(|(kind, _)| *kind != world.right).map(|(_, count)| count).sum();
        let of = |value: &dyn Fn(&Verdict) -> Option<f64>| {
            median(verdicts.iter().filter_map(|verdict| value(verdict)).collect())
        };
        let _ = writeln!(
            text,
            "| {} | {internal} | {superficial} | {} | {} | {} | {wrong} | {:.2} | {:.2} | {:.2} |",
            world.name,
            count(VerdictKind::SomeChange),
            count(VerdictKind::LessHarm),
            count(VerdictKind::InsufficientEvidence),
            of(&|verdict| Some(verdict.decisive()?.interval.estimate)),
            of(&|verdict| verdict.decisive().map(|change| 0.5 * (change.interval.high - change.interval.low))),
            of(&|verdict| Some(verdict.value(CheckKind::ProbeValid)?.estimate)),
        );
        if args.checks {
            for verdict in &verdicts {
                let _ = writeln!(text, "  {}: {}", verdict.kind, verdict.missing().unwrap_or(""));
                for check in &verdict.checks {
                    let _ = writeln!(text, "    {} {:?} {:?} {}", check.kind, check.passed, check.value, check.detail);
                }
            }
        }
    }
    Ok(text)
}

fn main() -> ExitCode {
    let args = Args::parse();
    end(run(&args), args.out.as_deref())
}
