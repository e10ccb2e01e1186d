//! One archive by itself: its form, its chart, what it carries, and what lies beside it.

use helmpack::archive::{self, Files, Packed};
use helmpack::chart::Chart;
use helmpack::checksum::{self, sha256};
use helmpack::provenance as signed;

use super::Defect;
use crate::dependency::{self, Archive};
use crate::package::{UNPINNED, companions};
use crate::{generated, provenance};

/// An archive that was taken apart.
pub struct Verified {
    /// Its Chart.yaml.
    pub chart: Chart,
    /// Its files.
    pub packed: Packed,
    /// The dependencies in it, those that are whole.
    pub carried: Vec<Archive>,
    /// Its sha256 in hex.
    pub sha256: String,
    /// What belongs beside it, derived from it.
    pub companions: Files,
}

/// Proves one archive. `beside` holds other files of its folder by their names, of which those that belong to it are compared with
/// what it gives: the list of contents, the images, the bill of materials, profiles, Helm's provenance file (its digest; the
/// signature is [`super::signature`]'s), and a statement under the name that [`provenance::SUFFIX`] makes.
///
/// `Err` when it cannot be taken apart, so that nothing more can be said of it.
pub fn verify(name: &str, bytes: &[u8], beside: &Files) -> Result<(Verified, Vec<Defect>), Defect> {
    let defect = |error: anyhow::Error| Defect::new(name, format!("{error:#}"));
    let packed = archive::verify(bytes).map_err(defect)?;
    let chart = chart(&packed.files).map_err(defect)?;
    let mut defects = Vec::new();
    if chart.name != packed.root {
        defects
            .push(Defect::new(name, format!("its root folder is {}, Chart.yaml's name {}", packed.root, chart.name)));
    }
    if chart.archive_name() != name {
        defects.push(Defect::new(name, format!("Chart.yaml is of {} {}", chart.name, chart.version)));
    }
    let (carried, wrong) = carried(&chart, &packed.files);
    defects.extend(wrong.into_iter().map(|message| Defect::new(name, message)));
    let sha256 = sha256(bytes);
    let companions = match companions(&chart, &packed, &carried, &sha256) {
        // What is wrong with a dependency's archive is told above, and without it the others are not what they would be.
        _ if carried.len() < chart.dependencies.len() => Files::new(),
        Err(_) if !defects.is_empty() => Files::new(),
        Err(error) => return Err(defect(error)),
        Ok(companions) => companions,
    };
    for (file, expected) in &companions {
        if let Some(found) = beside.get(file).filter(|found| *found != expected) {
            defects.push(Defect::new(file, difference(found, expected, name)));
        }
    }
    let verified = Verified { chart, packed, carried, sha256, companions };
    defects.extend(documents(name, &verified, beside));
    Ok((verified, defects))
}

fn chart(files: &Files) -> anyhow::Result<Chart> {
    let text = files.get("Chart.yaml").ok_or_else(|| anyhow::anyhow!("it holds no Chart.yaml"))?;
    Chart::parse(&String::from_utf8_lossy(text)).map_err(|error| error.context("its Chart.yaml is refused"))
}

/// The dependencies, and what is wrong: every declared one is there, whole, and the pinned one or marked; and nothing else is.
fn carried(chart: &Chart, files: &Files) -> (Vec<Archive>, Vec<String>) {
    let (mut carried, mut wrong) = (Vec::new(), Vec::new());
    let pins = files.get("dependencies.sha256").map(|bytes| checksum::parse(&String::from_utf8_lossy(bytes)));
    let pins = pins.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
        wrong.push(format!("dependencies.sha256: {error}"));
        Vec::new()
    });
    let declared: Vec<String> =
        chart.dependencies.iter().map(|d| dependency::path_in_chart(&d.name, &d.version)).collect();
    for (dependency, path) in chart.dependencies.iter().zip(&declared) {
        let Some((pin, _)) = pins.iter().find(|(_, pinned)| pinned == path) else {
            wrong.push(format!("its dependencies.sha256 has no pin for {path}"));
            continue;
        };
        let Some(bytes) = files.get(path) else {
            wrong.push(format!("it lacks {path}, which Chart.yaml declares"));
            continue;
        };
        match dependency::check(dependency, bytes.clone(), pin) {
            Err(error) => wrong.push(format!("{path}: {error:#}")),
            Ok(found) => {
                if !found.pinned && !chart.annotations.contains_key(UNPINNED) {
                    let found = &found.sha256;
                    wrong.push(format!("{path} has the sha256 {found}, its pin in dependencies.sha256 is {pin}"));
                }
                carried.push(found);
            }
        }
    }
    let strays = files.keys().filter(|path| path.starts_with("charts/") && !declared.contains(path));
    wrong.extend(strays.map(|path| format!("it holds {path}, which Chart.yaml does not declare")));
    (carried, wrong)
}

/// The documents about an archive that are not derived from it alone, where they lie beside it.
fn documents(name: &str, verified: &Verified, beside: &Files) -> Vec<Defect> {
    let mut defects = Vec::new();
    let file = format!("{name}.prov");
    if let Some(bytes) = beside.get(&file) {
        match signed::cleartext(bytes).and_then(|text| Ok((text, signed::message(&verified.chart, &verified.sha256)?)))
        {
            Err(error) => defects.push(Defect::new(&file, format!("{error:#}"))),
            Ok((text, message)) if text != message => {
                let text = difference(text.as_bytes(), message.as_bytes(), name);
                defects.push(Defect::new(&file, format!("of the signed text {text}")));
            }
            Ok(_) => {}
        }
    }
    let file = format!("{name}{}", provenance::SUFFIX);
    if let Some(bytes) = beside.get(&file) {
        match provenance::parse(bytes, &verified.chart) {
            Err(error) => defects.push(Defect::new(&file, format!("{error:#}"))),
            Ok(record) => defects.extend(super::same_build::compare(&file, &record, &[(name, verified)])),
        }
    }
    defects
}

/// How a file differs from what its archive gives.
pub fn difference(found: &[u8], expected: &[u8], of: &str) -> String {
    let (line, found, expected) = generated::first_difference(found, expected);
    format!("line {line} is `{found}`, {of} gives `{expected}`")
}
