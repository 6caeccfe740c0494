//! Devices: layers spread over several, states captured on them. What needs CUDA says where it was skipped.

use std::cell::RefCell;

use common::{endless, fixture, keep, tokens};
use probity::capture::{Pool, Readout};
use probity::causal::Intervention;
use probity::generate::Session;
use probity::hook::{Hooks, Site};
use probity::model::{LoadOptions, LogitsFor};
use probity::text::{PadSide, Text, TokenBatch};
use probity::Model;
use tch::{Cuda, Device};

const TEXTS: [&str; 3] = ["The keys were where they had always been.", "Why?", "Nobody asked him, and he did not say."];

fn model(devices: &[Device]) -> Model {
    LoadOptions::default().devices(devices.iter().copied()).load(fixture("tiny_llama/odd_heads")).unwrap()
}

/// Every kind of site, generated tokens and an intervention must be the same wherever the layers lie.
fn agrees_with_one_cpu(devices: &[Device]) {
    let (ours, theirs) = (model(devices), model(&[Device::Cpu]));
    let texts: Vec<Text> = TEXTS.iter().map(|text| Text::new(*text, *text)).collect();
    for site in [Site::ResidPre, Site::Q, Site::HeadOut, Site::MlpAct, Site::ResidPost, Site::FinalNorm, Site::Logits] {
        for pool in [Pool::Last, Pool::Mean] {
            let read = |model: &Model| Readout::new(site.all_layers(), pool).capture(model, &texts).unwrap();
            let (ours, theirs) = (read(&ours), read(&theirs));
            for address in theirs.addresses() {
                let (ours, theirs) = (ours.at(address).unwrap(), theirs.at(address).unwrap());
                let scale = theirs.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                let apart = (&ours - &theirs).iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert!(apart / scale < 5e-5, "{devices:?} {address}: {apart} of {scale}");
            }
        }
    }
    let ids: Vec<Vec<u32>> = TEXTS.iter().map(|text| ours.tokenizer().encode(text).unwrap().ids).collect();
    let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let last = ours.geometry().layers - 1;
    let half = Intervention::scale(Site::MlpOut.at(last), 0.5);
    let answers = |model: &Model| {
        let mut session = Session::new(model);
        let altered = |_: &_| {
            let mut hooks = Hooks::new();
            half.attach(&mut hooks);
            hooks
        };
        session.read_hooked(&ids, altered).unwrap();
        tokens(session.generate_hooked(&endless(6), &[], altered).unwrap())
    };
    assert_eq!(answers(&ours), answers(&theirs));
}

#[test]
fn a_device_named_twice_changes_nothing() {
    agrees_with_one_cpu(&[Device::Cpu, Device::Cpu]);
}

#[test]
fn more_devices_than_layers_are_no_fault() {
    agrees_with_one_cpu(&[Device::Cpu; 7]);
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let absent = Device::Cuda(Cuda::device_count().max(0) as usize + 3);
    for devices in [vec![absent], vec![Device::Cpu, absent]] {
        let error = LoadOptions::default().devices(devices).load(fixture("tiny_llama/tied")).unwrap_err();
        let error = common::told(&error);
        assert!(error.to_lowercase().contains("cuda"), "{error}");
    }
}

#[test]
fn cuda_agrees_with_the_cpu() {
    if !Cuda::is_available() {
        eprintln!("SKIPPED: no CUDA device");
        return;
    }
    agrees_with_one_cpu(&[Device::Cuda(0)]);
    // One GPU is enough to have two devices.
    agrees_with_one_cpu(&[Device::Cpu, Device::Cuda(0)]);
    agrees_with_one_cpu(&[Device::Cuda(0), Device::Cpu]);
}

#[test]
fn several_cuda_devices_agree_with_the_cpu() {
    let count = Cuda::device_count();
    if count < 2 {
        eprintln!("SKIPPED: {count} CUDA devices, two are needed");
        return;
    }
    agrees_with_one_cpu(&[Device::Cuda(0), Device::Cuda(1)]);
}

#[test]
fn moving_captured_states_moves_no_weight() {
    if !Cuda::is_available() {
        eprintln!("SKIPPED: no CUDA device");
        return;
    }
    let model = model(&[Device::Cuda(0)]);
    let run = |to: Option<Device>| {
        let ids = model.tokenizer().encode(TEXTS[0]).unwrap().ids;
        let batch = TokenBatch::new(&[&ids], PadSide::Right).unwrap();
        let kept = RefCell::new(Vec::new());
        let mut hooks = Hooks::new();
        hooks.observe(Site::ResidPost.at(0), |states| {
            assert_eq!(states.device(), Device::Cuda(0));
            keep(&kept)(&to.map_or_else(|| states.shallow_clone(), |to| states.to_device(to)))
        });
        model.network().forward(&batch, None, &mut hooks, LogitsFor::None).unwrap();
        drop(hooks);
        kept.into_inner()
    };
    assert_eq!(run(Some(Device::Cpu)), run(None));
}
