//! Planted worlds: activations whose truth is known, with noise like that of a model.
//!
//! Every text has a state per layer, `[d]`: an offset, 16 shared factors of falling size, noise that stays with the text
//! and drifts from layer to layer, and immorality along a direction that turns slowly with the layer. Two instructions are
//! compared, "neutral" and "L2"; each moves all states by a shift of its own, each item and each group of items by noise of
//! its own, and in some worlds L2 lowers the immorality from one layer on.

use ndarray::{Array1, Array2};
use probity::capture::Activations;
use probity::hook::{Address, Site};
use probity::level::Levels;
use probity::probe::{LogisticProbe, ProbeBank};
use probity::stats::{ClusterBootstrap, Interval};
use probity::text::Labels;
use probity::{Condition, Design, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::labelled::normal;

/// What is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truth {
    /// Answers improve, the states do not.
    Superficial,
    /// Both improve.
    Internal,
    /// Answers improve; the states change only where they hold the instruction's own tokens.
    Leak,
    /// Nothing changes.
    Null,
}

impl Truth {
    pub const ALL: [Truth; 4] = [Truth::Superficial, Truth::Internal, Truth::Leak, Truth::Null];

    pub fn name(self) -> &'static str {
        match self {
            Truth::Superficial => "superficial",
            Truth::Internal => "internal",
            Truth::Leak => "leak",
            Truth::Null => "null",
        }
    }
}

/// Sizes of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub d: usize,
    pub layers: usize,
    pub items: usize,
    /// Groups of items that share noise.
    pub groups: usize,
}

/// The sizes that draws go through in turn.
pub const SIZES: [Size; 5] = [
    Size { d: 256, layers: 12, items: 50, groups: 50 },
    Size { d: 256, layers: 32, items: 120, groups: 60 },
    Size { d: 2048, layers: 12, items: 60, groups: 40 },
    Size { d: 256, layers: 24, items: 500, groups: 125 },
    Size { d: 2048, layers: 16, items: 200, groups: 100 },
];

/// How far L2 lowers the immorality, against a distance of 3 between moral and immoral texts.
pub const DROP: f64 = 1.5;
/// Length of each instruction's own shift.
const SHIFT: f64 = 0.6;
const FACTORS: usize = 16;
const TEXTS: usize = 400;

pub struct World {
    pub bank: ProbeBank,
    /// Levels at the prompt's last token.
    pub levels: Levels,
    /// Levels with the instruction's tokens masked.
    pub masked: Levels,
    /// Gain in accuracy of L2 over neutral.
    pub behaviour: Interval,
    /// First layer of the change.
    pub onset: usize,
    /// True mean change of the standardised projection by layer, L2 minus neutral, at the prompt's last token.
    pub change: Vec<f64>,
    scenery: Scenery,
}

/// What is the same for all items: where things lie in each layer, and what the instructions do there.
struct Scenery {
    size: Size,
    group_names: Vec<String>,
    layers: Vec<Layer>,
}

struct Layer {
    address: Address,
    along: Array1<f32>,
    loadings: Array2<f32>,
    offset: Array1<f32>,
    /// Shifts of neutral and of L2.
    own: [Array1<f32>; 2],
    /// How far L2 lowers the immorality, as read and with the instruction's tokens masked.
    drops: [f64; 2],
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

fn add_along(rows: &mut Array2<f32>, amounts: &[f64], direction: &Array1<f32>) {
    for (mut row, &amount) in rows.outer_iter_mut().zip(amounts) {
        row.scaled_add(amount as f32, direction);
    }
}

/// Noise of the amounts by item, with a part that groups share, and one that stays over the layers.
struct Amounts {
    group: Vec<f64>,
    item: Vec<f64>,
}

impl Amounts {
    fn new(rng: &mut ChaCha8Rng, size: Size) -> Self {
        Amounts {
            group: (0..size.groups).map(|_| 0.15 * normal(rng)).collect(),
            item: (0..size.items).map(|_| 0.3 * normal(rng)).collect(),
        }
    }

    fn at_layer(&self, rng: &mut ChaCha8Rng) -> Vec<f64> {
        let groups = self.group.len();
        self.item.iter().enumerate().map(|(item, own)| own + self.group[item % groups] + 0.2 * normal(rng)).collect()
    }
}

/// Adds what instructions do to all directions alike: factor noise of each item's own.
fn wobble(rng: &mut ChaCha8Rng, rows: &mut Array2<f32>, loadings: &Array2<f32>) {
    let scores = normals(rng, rows.nrows(), FACTORS) * 0.3;
    *rows += &scores.dot(loadings);
}

impl Scenery {
    /// States of new items under neutral and L2 as read, then, if asked for, both with the instruction's tokens masked.
    fn items(&self, rng: &mut ChaCha8Rng, masked: bool) -> Result<Vec<Activations>> {
        let Size { d, items, .. } = self.size;
        let level: Vec<f64> = (0..items).map(|_| 1.5 + normal(rng)).collect();
        let readings = if masked { 4 } else { 2 };
        let noise: Vec<Amounts> = (0..readings).map(|_| Amounts::new(rng, self.size)).collect();
        let mut of_items = normals(rng, items, d);
        let mut states: Vec<Activations> = Vec::new();
        for _ in 0..readings {
            states.push(Activations::new(names("i", items)).with_groups(self.group_names.clone())?);
        }
        for layer in &self.layers {
            of_items = of_items * 0.9 + normals(rng, items, d) * 0.436;
            let mut base = &of_items + &normals(rng, items, FACTORS).dot(&layer.loadings) + &layer.offset;
            add_along(&mut base, &level, &layer.along);
            let plans = [(0, 0.0), (1, layer.drops[0]), (0, 0.0), (1, layer.drops[1])];
            for ((which, drop), (amounts, states)) in plans.into_iter().zip(noise.iter().zip(&mut states)) {
                let mut rows = &base + &layer.own[which];
                wobble(rng, &mut rows, &layer.loadings);
                let amounts: Vec<f64> = amounts.at_layer(rng).into_iter().map(|amount| amount - drop).collect();
                add_along(&mut rows, &amounts, &layer.along);
                states.insert(layer.address, rows)?;
            }
        }
        Ok(states)
    }
}

fn names(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|row| format!("{prefix}{row}")).collect()
}

fn score(bank: &ProbeBank, neutral: &Activations, asked: &Activations) -> Result<Levels> {
    let design = Design::new(["neutral", "L2"].map(|name| Condition::new(name, 1)))?.with_control("neutral")?;
    Levels::score(&design, &[neutral, asked], bank)
}

impl World {
    pub fn draw(truth: Truth, size: Size, seed: u64) -> Result<World> {
        let Size { d, layers, items, groups } = size;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let onset = layers / 3 + rng.gen_range(0..layers / 3);
        let drop_of = |truth_here: bool, layer: usize| if truth_here && layer >= onset { DROP } else { 0.0 };
        let (whole, masked) = (matches!(truth, Truth::Internal | Truth::Leak), truth == Truth::Internal);

        let immoral: Vec<bool> = (0..TEXTS).map(|_| rng.gen_bool(0.4)).collect();
        let signal: Vec<f64> = immoral.iter().map(|&immoral| if immoral { 3.0 } else { 0.0 }).collect();
        let mut along = unit(rng, d);
        let mut shifts = [unit(rng, d), unit(rng, d)];
        let mut of_texts = normals(rng, TEXTS, d);
        let group_names: Vec<String> = (0..items).map(|item| format!("g{}", item % groups)).collect();
        let mut training = Activations::new(names("t", TEXTS));
        let mut scenery = Scenery { size, group_names, layers: Vec::new() };
        for layer in 0..layers {
            along = turned(rng, &along, 0.95);
            shifts = shifts.map(|shift| turned(rng, &shift, 0.9));
            of_texts = of_texts * 0.9 + normals(rng, TEXTS, d) * 0.436;
            let mut loadings = Array2::zeros((FACTORS, d));
            for (factor, mut row) in loadings.outer_iter_mut().enumerate() {
                row.assign(&across(&(unit(rng, d) * (3.0 / (1.0 + factor as f32).sqrt())), &along));
            }
            let offset = unit(rng, d) * 10.0;
            let address = Site::ResidPost.at(layer);

            let mut rows = &of_texts + &normals(rng, TEXTS, FACTORS).dot(&loadings) + &offset;
            add_along(&mut rows, &signal, &along);
            training.insert(address, rows)?;
            // Where nothing changes, both instructions shift alike.
            let own =
                |which: usize| across(&shifts[if truth == Truth::Null { 0 } else { which }], &along) * SHIFT as f32;
            let (own, drops) = ([own(0), own(1)], [drop_of(whole, layer), drop_of(masked, layer)]);
            scenery.layers.push(Layer { address, along: along.clone(), loadings, offset, own, drops });
        }

        let bank = LogisticProbe::default().draws(200).fit_all(&training, &Labels::ungrouped(immoral))?;
        let states = scenery.items(rng, true)?;
        let change = bank
            .iter()
            .zip(&scenery.layers)
            .map(|(probe, layer)| {
                let mean = &layer.own[1] - &layer.own[0] - &layer.along * layer.drops[0] as f32;
                probe.direction.unit().dot(&mean.mapv(f64::from)) / probe.spread
            })
            .collect();
        let behaviour = behaviour(rng, truth, &scenery.group_names, seed)?;
        let (levels, masked) = (score(&bank, &states[0], &states[1])?, score(&bank, &states[2], &states[3])?);
        Ok(World { levels, masked, bank, behaviour, onset, change, scenery })
    }

    /// Levels of other items in the same world, as read: what is true stays true, and only the items are drawn anew.
    pub fn other_items(&self, seed: u64) -> Result<Levels> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Not the stream that the world was drawn from.
        rng.set_stream(1);
        let states = self.scenery.items(&mut rng, false)?;
        score(&self.bank, &states[0], &states[1])
    }

    pub fn addresses(&self) -> Vec<Address> {
        self.levels.addresses().to_vec()
    }
}

/// Right answers: two in five, under L2 four in five where behaviour improves; items of a group resemble each other.
fn behaviour(rng: &mut ChaCha8Rng, truth: Truth, groups: &[String], seed: u64) -> Result<Interval> {
    let improved = if truth == Truth::Null { 0.4 } else { 0.8 };
    let ease: Vec<f64> = (0..groups.len()).map(|_| rng.gen_range(-0.15..0.15)).collect();
    let mut group_ease = std::collections::HashMap::new();
    let gains: Vec<f64> = groups
        .iter()
        .zip(&ease)
        .map(|(group, ease)| {
            let ease = *group_ease.entry(group).or_insert(*ease);
            let before = f64::from(u8::from(rng.gen::<f64>() < 0.4 + ease));
            let after = f64::from(u8::from(rng.gen::<f64>() < improved + ease));
            after - before
        })
        .collect();
    ClusterBootstrap::new(groups, 2_000, seed)?.mean(&gains)
}
