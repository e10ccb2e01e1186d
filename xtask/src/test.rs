//! `cargo xtask test`: the whole proof. Rust tests first, then the sources, then what real Helm, promtool and amtool
//! make of the archive and of what rulecheck says. Each case says which tools it needs; without them it is skipped, and
//! counted.

mod alertmanager;
mod availability;
mod dashboards;
mod exporters;
mod folders;
mod full;
mod helm;
mod hooks;
mod index;
mod network;
mod notes;
mod notifications;
mod overrides;
mod pitfalls;
mod pods;
mod policies;
mod profiles;
mod prometheus;
mod publish;
mod relabel;
mod releases;
mod rendered;
mod scrape_configs;
mod server;
mod sign;
mod sources;
mod stack_values;
mod targets;
mod typed;
mod wiring;
mod worker_probe;
mod workflows;
mod workspace;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use helmpack::archive::Files;
use xshell::{Shell, TempDir};

use crate::failure::Reported;
use crate::flags;
use crate::model::Model;
use crate::sources::Sources;
use crate::tools::{self, Found, Tool};
use crate::{assemble, check, package, verify};

/// What every case works on.
struct Context {
    root: PathBuf,
    sources: Sources,
    model: Model,
    generated: Files,
    /// The packed addon edition, in a temporary folder.
    archive: PathBuf,
    /// Full editions, packed the same way: with the stand-in, and with the real stack where its archive is here.
    full: Vec<Subject>,
    shell: Shell,
    temporary: TempDir,
    tools: Vec<(Tool, Found)>,
}

/// A packed chart that cases try.
#[derive(Clone)]
struct Subject {
    /// What the cases' names call it.
    name: &'static str,
    archive: PathBuf,
}

/// One thing to prove.
struct Case {
    name: String,
    needs: Vec<Tool>,
    run: Run,
}

type Run = Box<dyn Fn(&Context) -> Result<()>>;

/// A case's name, and what it does with either Helm.
type HelmCase = (&'static str, fn(&Context, Tool) -> Result<()>);

/// A case's name, and what it does with either Helm and an archive of the full edition.
type FullCase = (&'static str, fn(&Context, Tool, &Subject) -> Result<()>);

impl Case {
    fn new(name: impl Into<String>, needs: &[Tool], run: impl Fn(&Context) -> Result<()> + 'static) -> Case {
        Case { name: name.into(), needs: needs.to_vec(), run: Box::new(run) }
    }

    /// The same cases for both Helm majors and every archive of the full edition; `what` begins their names, `more` are
    /// tools that they need beside Helm.
    fn for_full(context: &Context, what: &str, more: &[Tool], cases: &[FullCase]) -> Vec<Case> {
        let mut all = Vec::new();
        for subject in &context.full {
            for helm in [tools::HELM3, tools::HELM4] {
                let needs = [&[helm], more].concat();
                all.extend(cases.iter().map(|&(name, run)| {
                    let subject = subject.clone();
                    let name = format!("{} {what} with the {}: {name}", helm.name, subject.name);
                    Case::new(name, &needs, move |context| run(context, helm, &subject))
                }));
            }
        }
        all
    }

    /// The same cases for both Helm majors.
    fn for_both(cases: &[HelmCase]) -> Vec<Case> {
        let both = [tools::HELM3, tools::HELM4].into_iter();
        both.flat_map(|helm| {
            cases.iter().map(move |&(name, run)| {
                Case::new(format!("{} {name}", helm.name), &[helm], move |context| run(context, helm))
            })
        })
        .collect()
    }
}

impl Context {
    /// Reads, checks and packs the sources as they are.
    fn new(root: &Path, tools: Vec<(Tool, Found)>) -> Result<Context> {
        let (sources, model, _) = check::checked(root)?;
        let generated = assemble::generate(&sources, &model)?;
        let epoch = package::epoch(None, &model)?;
        let tree = package::Tree { sources: &sources, model: &model, generated: &generated, epoch };
        let shell = Shell::new()?;
        let temporary = shell.create_temp_dir()?;
        let write = |name: &str, built: &package::Built| -> Result<PathBuf> {
            let path = temporary.path().join(name).join(&built.archive);
            shell.write_file(&path, &built.bytes)?;
            Ok(path)
        };
        let archive = write("addon", &tree.addon()?)?;
        let mut full = Vec::new();
        for (name, archives) in full::dependencies(root, &model)? {
            full.push(Subject { name, archive: write(name, &tree.full(&archives)?)? });
        }
        Ok(Context { root: root.to_owned(), sources, model, generated, archive, full, shell, temporary, tools })
    }

    /// The path of a tool that the case has declared.
    fn tool(&self, tool: Tool) -> Result<&Path> {
        match self.tools.iter().find(|(known, _)| *known == tool) {
            Some((_, Ok(path))) => Ok(path),
            _ => bail!("{} is not there; the case must declare it", tool.name),
        }
    }

    /// Why a case cannot run, if a tool of its is missing.
    fn lacks(&self, needs: &[Tool]) -> Option<String> {
        let missing = self.tools.iter().filter(|(tool, _)| needs.contains(tool));
        let reasons: Vec<String> =
            missing.filter_map(|(tool, found)| Some(format!("{}: {}", tool.name, found.as_ref().err()?))).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// The list of an archive's images.
fn images(archive: &Path) -> Result<String> {
    let name = archive.file_name().and_then(|name| name.to_str()).context("the archive's name is not UTF-8")?;
    let bytes = std::fs::read(archive).context("reading the archive")?;
    let (verified, _) = verify::archive::verify(name, &bytes, &Files::new()).map_err(anyhow::Error::msg)?;
    let list = verified.companions.get(&format!("{name}.images.txt")).context("there is no list of images")?;
    Ok(String::from_utf8_lossy(list).into_owned())
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn passed(&mut self, name: &str) {
        self.passed += 1;
        say!("ok    {name}");
    }

    fn failed(&mut self, name: &str, why: &str) {
        self.failed += 1;
        say!("FAIL  {name}\n{}", indent(why));
    }

    fn skipped(&mut self, name: &str, why: &str) {
        self.skipped += 1;
        say!("skip  {name}: {why}");
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("      {line}\n")).collect()
}

impl flags::Test {
    pub fn run(self, root: &Path) -> Result<()> {
        let mut tally = Tally::default();
        workspace::rust_tests(root, self.offline, &mut tally)?;
        // Building the tools takes minutes the first time, so what needs none comes before.
        let tools = tools::ALL.iter().map(|tool| (*tool, tool.find(root, self.offline))).collect();
        match Context::new(root, tools) {
            Ok(context) => run_cases(&context, self.require_tools, &mut tally),
            Err(error) => tally.failed("sources can be read, checked and packed", &format!("{error:#}")),
        }
        let Tally { passed, failed, skipped } = tally;
        say!("{passed} passed, {failed} failed, {skipped} skipped");
        // The count is the last line, so no error message follows it.
        if failed == 0 { Ok(()) } else { Err(Reported.into()) }
    }
}

fn run_cases(context: &Context, require_tools: bool, tally: &mut Tally) {
    tally.passed("sources can be read, checked and packed");
    let cases = [
        workspace::cases(),
        prometheus::cases(context),
        alertmanager::cases(),
        helm::cases(),
        overrides::cases(),
        wiring::cases(),
        sources::cases(),
        exporters::cases(),
        scrape_configs::cases(context),
        worker_probe::cases(),
        targets::cases(),
        full::cases(context),
        folders::cases(context),
        profiles::cases(context),
        stack_values::cases(context),
        policies::cases(context),
        hooks::cases(context),
        notes::cases(context),
        notifications::cases(context),
        network::cases(),
        releases::cases(context),
        index::cases(),
        publish::cases(),
        sign::cases(),
        workflows::cases(),
        dashboards::cases(),
    ];
    let mut cases: Vec<Case> = cases.into_iter().flatten().collect();
    cases.push(pitfalls::case(&cases));
    for case in cases {
        match context.lacks(&case.needs) {
            Some(why) if require_tools => tally.failed(&case.name, &format!("--require-tools, but {why}")),
            Some(why) => tally.skipped(&case.name, &why),
            None => match (case.run)(context).with_context(|| case.name.clone()) {
                Ok(()) => tally.passed(&case.name),
                Err(error) => tally.failed(&case.name, &format!("{:#}", error.root_cause())),
            },
        }
    }
}
