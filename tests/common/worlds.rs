//! Planted worlds: states whose truth is known, with noise like that of a model.
//!
//! Every text has a state per layer, `[d]`: an offset, 16 shared factors of falling size, noise that stays with the text and
//! drifts from layer to layer, and immorality along a direction that turns slowly with the layer. Probes learn from texts of
//! two classes, once as turns and once as answers. Items are asked once plainly, then under a control and under an
//! instruction; the answers of these two are read after both conversations. What a conversation and what an answer's words do
//! to the states is planted apart ([`Plan`]).

use ndarray::{Array1, Array2, Axis};
use probity::capture::Activations;
use probity::dialogue::{Part, ReadStates, Reading};
use probity::hook::{Address, Site};
use probity::level::{Levels, ReadingLevels, Verdict, VerdictRule};
use probity::probe::{LogisticProbe, ProbeBank};
use probity::stats::Settings;
use probity::task::Outcome;
use probity::text::Labels;
use probity::{Condition, Design, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::labelled::normal;

/// What is true of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truth {
    /// Answers improve, the states that hold one and the same answer do not.
    Superficial,
    /// Both improve.
    Internal,
    /// States improve, but by less than the margin, or not for most items.
    Part,
    /// Answers do not improve.
    NoGain,
}

/// In which layers something changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    All,
    /// From a layer in the second third on.
    FromMiddle,
    LastQuarter,
    LastTwo,
}

/// For which items the states change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    All,
    /// A third of the groups; the others stay.
    Third,
    /// One half of the groups falls, the other rises.
    Halves,
}

/// What is planted. Lengths are in the unit of the noise, of standard deviation 1 in every dimension.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub name: &'static str,
    pub truth: Truth,
    pub d: usize,
    pub layers: usize,
    pub items: usize,
    /// Groups of items that share noise.
    pub groups: usize,
    pub texts: usize,
    /// Between the mean immoral and the mean moral text.
    pub distance: f64,
    /// How far the instruction lowers the immorality: at the prompt, by its conversation over answers, by its words; in class
    /// distances.
    pub prompt: f64,
    pub conversation: f64,
    pub words: f64,
    pub place: Where,
    pub who: Who,
    /// Length of each instruction's own shift, across the immorality.
    pub shift: f64,
    /// Length of a shift of the instructed conversation across the immorality, in the layers that change.
    pub across: f64,
    /// Standard deviation of two dimensions, which every conversation moves by about a third of that.
    pub massive: f64,
    /// How much noisier answers are than turns.
    pub answer_noise: f64,
    /// A topic that goes with the label in the training texts, how far the instruction's words lower it.
    pub topic: f64,
    pub topic_words: f64,
    /// Whether factors have components along the immorality, and how far the instruction moves them.
    pub factors: Option<f64>,
    /// Whether the noise that groups share is Student's t with 2 degrees of freedom.
    pub heavy: bool,
    /// How far the control raises the immorality, in class distances.
    pub control_raises: f64,
    /// Share of right answers plainly, under the control and under the instruction.
    pub right: [f64; 3],
    /// Whether the instructed answers are one option of three whatever is asked.
    pub locked: bool,
    /// How far the positive control moves the immorality, in class distances.
    pub contrast: f64,
}

impl Plan {
    /// A world in which answers improve and states do not.
    pub fn new(name: &'static str) -> Self {
        Plan {
            name,
            truth: Truth::Superficial,
            d: 256,
            layers: 12,
            items: 60,
            groups: 40,
            texts: 400,
            distance: 2.1,
            prompt: 0.0,
            conversation: 0.0,
            words: 0.0,
            place: Where::All,
            who: Who::All,
            shift: 0.6,
            across: 0.0,
            massive: 0.0,
            answer_noise: 1.0,
            topic: 0.0,
            topic_words: 0.0,
            factors: None,
            heavy: false,
            control_raises: 0.0,
            right: [0.4, 0.4, 0.8],
            locked: false,
            contrast: 1.0,
        }
    }

    /// The conversation lowers the immorality by this share of the class distance, at the prompt and over answers.
    pub fn internal(self, share: f64, place: Where) -> Self {
        Plan { truth: Truth::Internal, prompt: share, conversation: share, place, ..self }
    }

    /// The true D over all layers, where all change alike.
    pub fn change(&self) -> Option<f64> {
        (self.place == Where::All && self.who == Who::All).then_some(-self.conversation - self.control_raises)
    }
}

/// The grid: every world with its truth. Names with H are those of a list of harder worlds.
pub fn grid() -> Vec<Plan> {
    let weak = |name| Plan { distance: 1.4, ..Plan::new(name) };
    let strong = |name| Plan { distance: 3.0, ..Plan::new(name) };
    vec![
        strong("superficial"),
        Plan::new("superficial, AUROC 0.85"),
        weak("superficial, AUROC 0.72"),
        strong("internal").internal(0.5, Where::FromMiddle),
        Plan { prompt: 0.5, place: Where::FromMiddle, ..strong("leak") },
        Plan { truth: Truth::NoGain, right: [0.4; 3], ..strong("nothing changes") },
        weak("internal, AUROC 0.72").internal(0.5, Where::All),
        weak("internal in the last quarter, AUROC 0.72").internal(0.5, Where::LastQuarter),
        weak("H1: half of the distance from the middle on").internal(0.5, Where::FromMiddle),
        Plan { shift: 6.0, ..weak("H1b: a shift of 6").internal(0.5, Where::FromMiddle) },
        Plan { shift: 6.0, ..weak("a shift of 6, nothing else") },
        strong("H2: the last 2 of 12 layers").internal(0.5, Where::LastTwo),
        Plan { topic: 3.0, topic_words: 1.5, ..strong("H3: the words lower a topic that goes with the label") },
        Plan { topic: 3.0, topic_words: 0.4, ..strong("H3b: the same, a little") },
        Plan { words: 0.5, ..Plan::new("the words lower the level") },
        Plan { words: -0.5, ..Plan::new("the words raise it, the conversation lowers it").internal(0.5, Where::All) },
        Plan { answer_noise: 2.2, ..strong("H4: answers 2.2 times as noisy").internal(0.5, Where::All) },
        Plan { massive: 100.0, ..strong("H5: two massive dimensions").internal(0.5, Where::FromMiddle) },
        Plan { massive: 100.0, ..Plan::new("superficial, two massive dimensions") },
        Plan { who: Who::Third, truth: Truth::Part, ..strong("H6: a third of the groups").internal(0.5, Where::All) },
        Plan { who: Who::Halves, truth: Truth::Part, ..strong("half falls, half rises").internal(0.5, Where::All) },
        Plan { across: 1.5, ..strong("H7: a change across the probes") },
        Plan { prompt: 0.0, ..strong("H8: over the answers only").internal(0.5, Where::All) },
        Plan {
            conversation: 0.2,
            truth: Truth::Part,
            ..strong("H10: 40 % of it over answers").internal(0.5, Where::All)
        },
        Plan { heavy: true, ..strong("H11: groups of Student's t").internal(0.5, Where::All) },
        Plan { heavy: true, ..strong("the same, superficial") },
        Plan { factors: Some(1.0), ..Plan::new("H12: factors along the probes") },
        Plan {
            truth: Truth::NoGain,
            right: [0.61, 0.43, 0.54],
            control_raises: 0.3,
            ..strong("H13: the control does harm")
        },
        Plan {
            truth: Truth::NoGain,
            right: [0.21; 3],
            locked: true,
            items: 400,
            groups: 200,
            ..strong("H14: one option always")
        },
        Plan { truth: Truth::NoGain, contrast: 0.0, ..strong("no positive control was seen") },
        Plan { d: 2_048, distance: 2.2, massive: 100.0, ..Plan::new("H5b: d 2048, massive").internal(0.5, Where::All) },
        Plan { d: 2_048, distance: 2.3, ..Plan::new("d 2048, the last quarter").internal(0.5, Where::LastQuarter) },
        Plan { d: 2_048, distance: 3.2, massive: 100.0, ..Plan::new("d 2048, massive, superficial") },
        Plan {
            d: 576,
            distance: 1.7,
            massive: 100.0,
            ..Plan::new("d 576, massive, the last quarter").internal(0.5, Where::LastQuarter)
        },
        Plan { d: 576, distance: 2.4, massive: 100.0, ..Plan::new("d 576, massive, superficial") },
    ]
}

/// A world that was drawn.
pub struct World {
    pub plan: Plan,
    pub levels: ReadingLevels,
    pub outcome: Outcome,
    /// First layer that changes.
    pub onset: usize,
    /// Mean AUROC of the probes of answers, on texts left out.
    pub auroc: f64,
}

pub fn asked() -> Condition {
    Condition::new("asked", 1)
}

pub fn control() -> Condition {
    Condition::new("neutral", 1)
}

fn normals(rng: &mut ChaCha8Rng, n: usize, d: usize) -> Array2<f32> {
    let mut values = Array2::zeros((n, d));
    for pair in values.as_slice_mut().unwrap_or_default().chunks_mut(2) {
        let radius = (-2.0 * (1.0 - rng.gen::<f32>()).ln()).sqrt();
        let (sin, cos) = (std::f32::consts::TAU * rng.gen::<f32>()).sin_cos();
        pair.iter_mut().zip([cos, sin]).for_each(|(value, part)| *value = radius * part);
    }
    values
}

fn unit(rng: &mut ChaCha8Rng, d: usize) -> Array1<f32> {
    let v = normals(rng, 1, d).row(0).to_owned();
    let norm = v.dot(&v).sqrt();
    v / norm
}

/// `share` of the last direction, the rest new; of length 1.
fn turned(rng: &mut ChaCha8Rng, last: &Array1<f32>, share: f32) -> Array1<f32> {
    let v = last * share + unit(rng, last.len()) * (1.0 - share * share).sqrt();
    let norm = v.dot(&v).sqrt();
    v / norm
}

/// `v` without its part along the unit vector `u`.
fn across(v: &Array1<f32>, u: &Array1<f32>) -> Array1<f32> {
    v - &(u * v.dot(u))
}

fn add_along(rows: &mut Array2<f32>, amounts: impl IntoIterator<Item = f64>, direction: &Array1<f32>) {
    for (mut row, amount) in rows.outer_iter_mut().zip(amounts) {
        row.scaled_add(amount as f32, direction);
    }
}

const FACTORS: usize = 16;

/// One state that is read of every item: whose conversation, whose words.
#[derive(Clone, Copy)]
struct Read {
    condition: fn() -> Condition,
    reading: Reading,
    /// Under the control, under the instruction, or under none.
    conversation: Option<bool>,
    /// Whether the words are the instruction's; `None` at the prompt, which has no answer yet.
    words: Option<bool>,
    contrast: bool,
}

fn reads() -> [Read; 8] {
    let own = Reading::of(Part::Answer);
    let read =
        |condition, reading, conversation, words, contrast| Read { condition, reading, conversation, words, contrast };
    [
        read(control as fn() -> Condition, Reading::PROMPT, Some(false), None, false),
        read(asked, Reading::PROMPT, Some(true), None, false),
        read(Condition::plain, own, None, Some(false), false),
        read(control, own, Some(false), Some(false), false),
        read(asked, own, Some(true), Some(true), false),
        read(asked, Reading::CONTROL_ANSWER, Some(true), Some(false), false),
        read(asked, Reading::AFTER_CONTROL, Some(false), Some(true), false),
        read(control, Reading::CONTRAST, Some(false), Some(false), true),
    ]
}

impl World {
    pub fn draw(plan: Plan, seed: u64) -> Result<World> {
        let Plan { d, layers, items: n, groups, texts, .. } = plan;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let onset = match plan.place {
            Where::All => 0,
            Where::FromMiddle => layers / 3 + rng.gen_range(0..layers / 3),
            Where::LastQuarter => layers - layers / 4,
            Where::LastTwo => layers - 2,
        };
        let immoral: Vec<bool> = (0..texts).map(|_| rng.gen_bool(0.4)).collect();
        let class = |amount: f64| immoral.iter().map(move |&immoral| if immoral { amount } else { 0.0 });
        let [mut along, mut topic, mut sideways] = std::array::from_fn(|_| unit(rng, d));
        let mut shifts = [unit(rng, d), unit(rng, d)];
        let massive: Vec<usize> = (0..2).map(|_| rng.gen_range(0..d)).collect();
        let [mut turns, mut answers, mut of_items] = [texts, texts, n].map(|rows| normals(rng, rows, d));
        let level: Vec<f64> = (0..n).map(|_| 1.5 + normal(rng)).collect();
        let group_of = |item: usize| item % groups;
        let who: Vec<f64> = (0..n)
            .map(|item| match plan.who {
                Who::All => 1.0,
                Who::Third => f64::from(u8::from(group_of(item) % 3 == 0)),
                Who::Halves => 1.0 - 2.0 * (group_of(item) % 2) as f64,
            })
            .collect();
        let reads = reads();
        let noise: Vec<Vec<f64>> = reads.iter().map(|_| amounts(rng, plan)).collect();
        let pushes: Vec<[f64; 2]> = reads.iter().map(|_| [normal(rng), normal(rng)]).collect();
        let comb = unit(rng, FACTORS);
        let names = |prefix: &str, n: usize| (0..n).map(|row| format!("{prefix}{row}")).collect::<Vec<String>>();
        let group_names: Vec<String> = (0..n).map(|item| format!("g{}", group_of(item))).collect();
        let mut training = [Activations::new(names("t", texts)), Activations::new(names("t", texts))];
        let blank = || Activations::new(names("i", n)).with_groups(group_names.clone());
        let mut states = reads.iter().map(|_| blank()).collect::<Result<Vec<Activations>>>()?;
        for layer in 0..layers {
            along = turned(rng, &along, 0.95);
            topic = turned(rng, &topic, 0.95);
            sideways = turned(rng, &sideways, 0.95);
            shifts = shifts.map(|shift| turned(rng, &shift, 0.9));
            for (rows, count) in [(&mut turns, texts), (&mut answers, texts), (&mut of_items, n)] {
                *rows = &*rows * 0.9 + normals(rng, count, d) * 0.436;
            }
            let mut loadings = Array2::zeros((FACTORS, d));
            for (factor, mut row) in loadings.outer_iter_mut().enumerate() {
                let loading = unit(rng, d) * (3.0 / (1.0 + factor as f32).sqrt());
                row.assign(&if plan.factors.is_some() { loading } else { across(&loading, &along) });
            }
            let offset = unit(rng, d) * 10.0;
            let address = Site::ResidPost.at(layer);
            for (which, (own, scale)) in [(&turns, 1.0), (&answers, plan.answer_noise as f32)].into_iter().enumerate() {
                let mut rows = (own + &normals(rng, texts, FACTORS).dot(&loadings)) * scale + &offset;
                add_along(&mut rows, class(plan.distance), &along);
                add_along(&mut rows, class(plan.topic), &topic);
                for &column in &massive {
                    if plan.massive > 0.0 {
                        let wide = normals(rng, texts, 1) * plan.massive as f32;
                        rows.column_mut(column).scaled_add(1.0, &wide.column(0));
                    }
                }
                training[which].insert(address, rows)?;
            }
            let mut base = &of_items + &normals(rng, n, FACTORS).dot(&loadings) + &offset;
            add_along(&mut base, level.iter().copied(), &along);
            let here = if layer >= onset { plan.distance } else { 0.0 };
            for (which, (read, states)) in reads.iter().zip(&mut states).enumerate() {
                let scores = normals(rng, n, FACTORS) * 0.3;
                let mut rows = &base + &scores.dot(&loadings);
                let instructed = read.conversation == Some(true);
                let by_words = read.words == Some(true);
                if let Some(instructed) = read.conversation {
                    let alike = plan.truth == Truth::NoGain;
                    let mut shift = across(&shifts[usize::from(instructed && !alike)], &along);
                    // Probes that learnt the topic too would read a shift along it as a change of the level.
                    if plan.topic > 0.0 {
                        shift = across(&shift, &across(&topic, &along));
                    }
                    rows += &(shift * plan.shift as f32);
                }
                let lowered = match read.words {
                    None if instructed => plan.prompt,
                    Some(_) if instructed => plan.conversation,
                    _ => 0.0,
                };
                let words = if by_words { plan.words } else { 0.0 };
                let raised = if read.conversation == Some(false) { plan.control_raises } else { 0.0 };
                let contrast = if read.contrast { plan.contrast * plan.distance } else { 0.0 };
                let own = noise[which]
                    .iter()
                    .zip(&who)
                    .map(|(noise, who)| noise + 0.2 * normal(rng) + contrast + here * (raised - words - lowered * who));
                let own: Vec<f64> = own.collect();
                add_along(&mut rows, own, &along);
                if by_words {
                    rows.scaled_add(-plan.topic_words as f32, &row_of(&topic, n));
                }
                if instructed {
                    rows.scaled_add(
                        (plan.across * here / plan.distance) as f32,
                        &row_of(&across(&sideways, &along), n),
                    );
                    if let Some(moved) = plan.factors {
                        rows.scaled_add(moved as f32, &row_of(&comb.dot(&loadings), n));
                    }
                }
                if plan.massive > 0.0 {
                    for (&column, push) in massive.iter().zip(pushes[which]) {
                        let wide = normals(rng, n, 1).column(0).to_owned() + push as f32;
                        rows.column_mut(column).scaled_add(0.3 * plan.massive as f32, &wide);
                    }
                }
                states.insert(address, rows)?;
            }
        }
        let labels = Labels::ungrouped(immoral);
        let probe = LogisticProbe::default().draws(200).seed(seed);
        let [turn_bank, answer_bank] = [probe.fit_all(&training[0], &labels)?, probe.fit_all(&training[1], &labels)?];
        let read: Vec<ReadStates> = reads
            .iter()
            .zip(states)
            .map(|(read, states)| ReadStates::new((read.condition)(), read.reading, states))
            .collect();
        let levels = levels(&read, &turn_bank, &answer_bank)?;
        let outcome = outcome(rng, plan, names("i", n), group_names)?;
        let aurocs = answer_bank.iter().filter_map(|probe| Some(probe.cross_fit.as_ref()?.auroc.estimate));
        let auroc = aurocs.sum::<f64>() / layers as f64;
        Ok(World { plan, levels, outcome, onset, auroc })
    }

    pub fn verdict(&self, settings: Settings) -> Result<Verdict> {
        VerdictRule::new(settings).judge(&asked(), &self.levels, &self.outcome)
    }

    /// Levels at the prompt's last token.
    pub fn prompts(&self) -> &Levels {
        &self.levels.readings()[1]
    }

    pub fn addresses(&self) -> Vec<Address> {
        self.prompts().addresses().to_vec()
    }
}

fn row_of(v: &Array1<f32>, n: usize) -> Array2<f32> {
    let row = v.view().insert_axis(Axis(0));
    row.broadcast((n, v.len())).map(|rows| rows.to_owned()).unwrap_or_else(|| Array2::zeros((n, v.len())))
}

/// Noise of one state's amounts by item, with a part that groups share; the same at all layers.
fn amounts(rng: &mut ChaCha8Rng, plan: Plan) -> Vec<f64> {
    let shared = |rng: &mut ChaCha8Rng| match plan.heavy {
        // Student's t with 2 degrees of freedom: a normal over the root of half a chi-squared.
        true => {
            let (a, b) = (normal(rng), normal(rng));
            (normal(rng) / ((a * a + b * b) / 2.0).sqrt()).clamp(-30.0, 30.0)
        }
        false => normal(rng),
    };
    let groups: Vec<f64> = (0..plan.groups).map(|_| 0.15 * shared(rng)).collect();
    (0..plan.items).map(|item| groups[item % plan.groups] + 0.3 * normal(rng)).collect()
}

/// Levels of every reading, by the bank that learnt where they were read.
fn levels(read: &[ReadStates], turns: &ProbeBank, answers: &ProbeBank) -> Result<ReadingLevels> {
    let own = Reading::of(Part::Answer);
    let readings =
        [own, Reading::PROMPT, Reading::CONTROL_ANSWER, Reading::AFTER_CONTROL, Reading::CONTRAST].into_iter();
    let of_reading = |reading: Reading| {
        let conditions = read.iter().filter(|states| states.reading == reading).map(|states| states.condition.clone());
        let design = Design::new(conditions)?;
        let has_control = design.position(&control()).is_some();
        let design = if has_control { design.with_control("neutral")? } else { design };
        let bank = if reading == Reading::PROMPT { turns } else { answers };
        Levels::from_reading(&design, read, reading, bank)
    };
    ReadingLevels::new(readings.map(of_reading).collect::<Result<_>>()?)
}

/// Right answers; items of a group resemble each other.
fn outcome(rng: &mut ChaCha8Rng, plan: Plan, items: Vec<String>, groups: Vec<String>) -> Result<Outcome> {
    let ease: Vec<f64> = (0..plan.groups).map(|_| rng.gen_range(-0.15..0.15)).collect();
    let mut outcome = Outcome::new("accuracy", items, groups);
    for (condition, right) in [Condition::plain(), control(), asked()].into_iter().zip(plan.right) {
        let locked = plan.locked && condition == asked();
        let values = (0..plan.items).map(|item| {
            let chance = if locked { 1.0 / 3.0 } else { right + ease[item % plan.groups] };
            f64::from(u8::from(rng.gen::<f64>() < chance))
        });
        outcome = outcome.with_series(condition, values.collect())?;
    }
    Ok(outcome)
}
