//! How things are done, one topic a page, with code that compiles.
//!
#![doc = include_str!("links.md")]
#![doc = include_str!("../../docs/guide/README.md")]

// The pages lead to each other's files at their ends. `links.md` stands before them and leads here instead: of two
// definitions of one link the first counts.
macro_rules! pages {
    ($($name:ident: $about:literal;)*) => {
        $(
            #[doc = $about]
            #[doc = ""]
            #[doc = include_str!("links.md")]
            #[doc = include_str!(concat!("../../docs/guide/", stringify!($name), ".md"))]
            pub mod $name {}
        )*
    };
}

pages! {
    hooks: "Load a model; watch or change states at a place.";
    capture: "States as numbers, from texts or from files.";
    probes: "Train probes, apply them, and know whether to believe them.";
    study: "Whether self-correction reaches the states, in one call.";
    study_by_parts: "The study step by step.";
    verdict: "What levels, changes and verdicts say.";
    behaviour: "What answers say: benchmarks, measures, judges of text.";
    causal: "Steer, ablate, and split a projection into its parts.";
    large_captures: "More texts than memory holds, by many processes.";
    own_model: "A model of a known family, or a network of one's own.";
    coming_from: "What TransformerLens, nnsight and scikit-learn call it.";
}
