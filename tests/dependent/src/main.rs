use probity::capture::{Pool, Readout};
use probity::dialogue::{Instruction, SelfCorrection};
use probity::hook::Site;
use probity::level::{Levels, SpanLevels};
use probity::probe::LogisticProbe;
use probity::report::Analysis;
use probity::task::ChoiceTask;
use probity::text::LabelledText;
use probity::Model;

fn main() -> probity::Result<()> {
    let model = Model::load("SmolLM2-135M-Instruct.Q4_1.gguf")?; // or a Hugging Face directory
    let readout = Readout::new(Site::ResidPost.all_layers(), Pool::Last);

    let statements = LabelledText::bundled()?;
    let (texts, labels) = LabelledText::as_user_turns(statements, model.template()?)?;
    let states = readout.capture(&model, &texts)?;
    let probes = LogisticProbe::default().fit_all(&states, &labels)?; // one per layer, by linfa

    let study = SelfCorrection::new(ChoiceTask::bundled()?)
        .instructions([Instruction::named("L1")?, Instruction::named("neutral")?])
        .rounds(3)
        .run(&model, &readout)?;
    let levels = SpanLevels::new(vec![Levels::of(&study, &probes)?])?; // the guide adds levels over the answers
    let analysis = Analysis::default().seed(7);
    let behaviour = analysis.choices(&study, None)?;
    analysis.run(&study, behaviour, &probes, &levels)?.write_dir("out")
}
