//! Levels of every reading of a study, by the bank that learnt there.

use crate::dialogue::{ReadStates, Reading, Study};
use crate::hook::Site;
use crate::level::Levels;
use crate::probe::ProbeBank;
use crate::task::Item;
use crate::Result;

/// The prompts' levels, then those of the readings asked for, then those that were read besides. Without probes of answers
/// those of the prompts read all.
pub(super) fn levels_of<I: Item>(
    study: &Study<I>,
    read: &[ReadStates],
    asked: &[Reading],
    site: Site,
    [probes, answer_probes]: [Option<&ProbeBank>; 2],
) -> Result<Vec<Levels>> {
    let Some(probes) = probes else { return Ok(Vec::new()) };
    let judged = |levels: Levels, bank: &ProbeBank| match site {
        // Without it there is no verdict, which is no error.
        Site::ResidPost => Ok(levels),
        site => levels.judged_at(site, bank),
    };
    let mut readings = asked.to_vec();
    for states in read {
        if !readings.contains(&states.reading) {
            readings.push(states.reading);
        }
    }
    let mut levels = vec![judged(Levels::from_study(study, probes)?, probes)?];
    for reading in readings {
        let bank = answer_probes.filter(|_| reading.part().is_some()).unwrap_or(probes);
        levels.push(judged(Levels::from_reading(&study.design, read, reading, bank)?, bank)?);
    }
    Ok(levels)
}
