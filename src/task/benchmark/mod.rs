//! The official files of public benchmarks.

mod bbq;
mod ethics;
mod jigsaw;
mod real_toxicity_prompts;
mod table;
mod winogender;

pub use bbq::Bbq;
pub use ethics::{Ethics, Theory};
pub use jigsaw::{Comments, Jigsaw};
pub use real_toxicity_prompts::RealToxicityPrompts;
pub use winogender::{Gender, Occupation, Winogender};

use std::path::{Path, PathBuf};

/// `folder/data` where the repository's root was given, `folder` itself otherwise.
fn data_folder(folder: &Path) -> PathBuf {
    let inner = folder.join("data");
    match inner.is_dir() {
        true => inner,
        false => folder.to_owned(),
    }
}
