//! What the model is told in order to correct itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{nearest, Place};
use crate::{file, Error, Result};

/// An instruction in its two wordings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// Its name: L0 (look again), L1 (the goal), L2 (the harm and the wanted answer), `neutral` (control of
    /// the same length), `negated` (asks for the opposite), or one of the user's own.
    pub name: String,
    /// What it stands for.
    pub meaning: String,
    /// Appended to the question of a fresh conversation (round 1).
    pub first: String,
    /// A turn of its own after an answer (rounds 2 and later).
    pub review: String,
}

#[derive(Deserialize)]
struct File {
    instructions: Vec<Instruction>,
}

impl Instruction {
    /// The instructions that come with the crate (`data/instructions.json`).
    ///
    /// # Errors
    /// [`Error::Malformed`], which a test rules out.
    pub fn bundled() -> Result<Vec<Instruction>> {
        parse(Path::new("data/instructions.json"), include_str!("../../data/instructions.json"))
    }

    /// The bundled instruction of this name.
    ///
    /// # Errors
    /// [`Error::Setting`] with the nearest names.
    pub fn named(name: &str) -> Result<Instruction> {
        let all = Instruction::bundled()?;
        let names: Vec<String> = all.iter().map(|instruction| instruction.name.clone()).collect();
        all.into_iter().find(|instruction| instruction.name == name).ok_or_else(|| {
            Error::setting(
                "instruction",
                name,
                format!("there is none of this name; nearest: {}", nearest(name, names).join(", ")),
            )
        })
    }

    /// Reads instructions from a file like `data/instructions.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`].
    pub fn load(path: impl AsRef<Path>) -> Result<Vec<Instruction>> {
        parse(path.as_ref(), &file::read_text(path.as_ref())?)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Instruction>> {
    serde_json::from_str::<File>(text)
        .map(|file| file.instructions)
        .map_err(|error| Error::malformed(path, Place::Line(error.line() as u64), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_instructions_are_there() {
        for name in ["L0", "L1", "L2", "neutral", "negated"] {
            assert_eq!(Instruction::named(name).unwrap().name, name);
        }
        let message = Instruction::named("neutrall").unwrap_err().to_string();
        assert!(message.contains("nearest: neutral"), "{message}");
    }
}
