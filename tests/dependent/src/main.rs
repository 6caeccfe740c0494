use probity::prelude::*;

fn main() -> probity::Result<()> {
    let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?; // or a Hugging Face directory
    let instructions = [Instruction::named("L1")?, Instruction::named("neutral")?];
    let questions = ChoiceTask::bundled()?.limit(32, 7); // of 96
    let protocol = SelfCorrection::new(questions).instructions(instructions).rounds(3);
    let findings = Experiment::new(protocol).seed(7).run(&model)?;
    for verdict in &findings.report.verdicts {
        println!("{}: {}", verdict.condition, verdict.kind);
    }
    findings.write_dir("out") // report.html, report.json, levels.csv, probes, transcripts
}
