//! How the tokens of a span become one row, computed at the hook.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::names::by_name;
use crate::{Error, Result};

/// How the states of a span's tokens are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// The state at the span's last token.
    #[default]
    Last,
    /// The mean over the span's tokens, in f32.
    Mean,
    /// Every token's state: a row per token. Its name is "none".
    #[serde(rename = "none")]
    EveryToken,
}

impl Pool {
    const ALL: [Pool; 3] = [Pool::Last, Pool::Mean, Pool::EveryToken];

    /// The name used in options and provenance.
    pub fn name(self) -> &'static str {
        match self {
            Pool::Last => "last",
            Pool::Mean => "mean",
            Pool::EveryToken => "none",
        }
    }

    /// Reduces `[b, t, d]` (or `[b, t, h, e]`, which is flattened) over spans, each the number of a row and a range of
    /// its tokens: `[spans, d]`, or `[total tokens, d]` span after span. The result is f32, on the CPU, and shares no
    /// storage.
    pub(crate) fn reduce(self, states: &Tensor, spans: &[(usize, Range<usize>)]) -> Result<Tensor> {
        let size = states.size();
        let &[batch, tokens, ..] = size.as_slice() else { return Err(not_by_token(&size)) };
        let states = states.f_reshape([batch, tokens, -1])?;
        let width = states.size()[2];
        let device = states.device();
        let pooled = match self {
            Pool::Last | Pool::EveryToken => {
                let mut rows = Vec::new();
                for (row, span) in spans {
                    let first = if self == Pool::Last { span.end.saturating_sub(1) } else { span.start };
                    rows.extend((first..span.end).map(|token| *row as i64 * tokens + token as i64));
                }
                let rows = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
                states.f_view([batch * tokens, width])?.f_index_select(0, &rows)?.f_to_kind(Kind::Float)?
            }
            Pool::Mean => {
                // One product where every row has one span, as it mostly is; else the rows' spans one by one.
                let plain = spans.len() as i64 == batch && spans.iter().enumerate().all(|(at, (row, _))| at == *row);
                let states = states.f_to_kind(Kind::Float)?;
                if plain {
                    let mut weights = vec![0f32; (batch * tokens) as usize];
                    for (row, span) in spans {
                        let start = row * tokens as usize;
                        if let Some(cells) = weights.get_mut(start + span.start..start + span.end) {
                            cells.fill(1.0 / span.len() as f32);
                        }
                    }
                    let weights = Tensor::f_from_slice(&weights)?.f_view([batch, 1, tokens])?.f_to_device(device)?;
                    weights.f_bmm(&states)?.f_squeeze_dim(1)?
                } else {
                    let mean = |(row, span): &(usize, Range<usize>)| {
                        let rows =
                            states.f_select(0, *row as i64)?.f_narrow(0, span.start as i64, span.len() as i64)?;
                        Ok(rows.f_mean_dim(&[0i64][..], false, Kind::Float)?)
                    };
                    Tensor::f_stack(&spans.iter().map(mean).collect::<Result<Vec<_>>>()?, 0)?
                }
            }
        };
        Ok(pooled.f_to_device(Device::Cpu)?)
    }
}

by_name!(Pool, "pool");

fn not_by_token(size: &[i64]) -> Error {
    Error::mismatch("pooling", format!("shape {size:?} is not [b, t, d]"))
}
