//! OLMo 2: norms after the parts only, queries and keys normed over all heads.

use super::usual::{QkNorm, Usual, PLAIN};
use super::Family;

pub(super) const FAMILY: Family = Family {
    name: "olmo2",
    config: |settings| settings.usual_whole("olmo2"),
    build: |loader, config, settings| {
        let bias = settings.flag_or("attention_bias", false)?;
        let norms = [None, Some("post_attention_layernorm"), None, Some("post_feedforward_layernorm")];
        let layout = Usual { qkv_bias: bias, o_bias: bias, qk_norm: QkNorm::Whole, norms, ..PLAIN };
        layout.build(loader, config, settings)
    },
};
