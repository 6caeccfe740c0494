mod common;
use probity::{capture::{Pool, Readout}, dialogue::*, hook::Site, task::*, Model};
fn main() -> std::process::ExitCode { common::exit(run()) }
fn run() -> probity::Result<()> {
    let model = Model::load(".models/SmolLM2-135M-Instruct.Q4_1.gguf")?;
    let readout = Readout::new(Site::ResidPost.all_layers().and(Site::AttnOut.all_layers()).and(Site::MlpOut.all_layers()), Pool::Last);
    let t = std::time::Instant::now();
    let study = SelfCorrection::new(ChoiceTask::load("data/ambiguous_qa.jsonl")?.limit(48, 0))
        .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
        .run_with(&model, &readout, &common::Bars::default())?;
    eprintln!("{:?}", t.elapsed());
    let rounds: Vec<_> = study.rounds.iter().map(|r| r.answered()).collect();
    for row in Behaviour::measure(&study.items, &rounds, 1000, 0)?.rows { println!("{} {} {:?} {:?} {:.3} [{:.3},{:.3}]", row.instruction, row.round, row.condition, row.measure, row.value.estimate, row.value.low, row.value.high); }
    study.write_transcripts("/tmp/tr.jsonl")?;
    for r in &study.rounds { for a in r.answers.iter().take(5) { println!("{} {} {:?} {:?} {:?}", r.instruction, r.round, a.text, a.read, a.probabilities); } }
    Ok(())
}
