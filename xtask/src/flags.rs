//! The whole command line; its `--help` is the manual.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use helmpack::chart::Chart;

use crate::dependency;
use crate::http;
use crate::model::Model;
use crate::registry::{self, Secret};
use crate::sources::Sources;
use crate::tools;

/// Assembles, proves, packages, checksums, signs and publishes the gorax-monitoring chart.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
pub struct Flags {
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Assemble(Assemble),
    Check(Check),
    Contract(Contract),
    Dashboards(Dashboards),
    Docs(Docs),
    Explain(Explain),
    Package(Package),
    Publish(Publish),
    Release(Release),
    Test(Test),
    Vendor(Vendor),
    Verify(Verify),
}

/// Write the generated files of chart/: values.yaml, values.schema.json, Chart.lock, README.md, files/, profiles/.
///
/// They come from alerts/, dashboards/, values/, docs/templates/ and chart/Chart.yaml, and are committed, so that the
/// chart can be read and installed without this tool. metrics/captures/gorax-api-lit.txt is made from metrics/.
#[derive(Debug, Args)]
pub struct Assemble {
    /// Write nothing; fail and name every file that is stale, with its first differing line
    #[arg(long)]
    pub check: bool,
}

/// Check every rule and dashboard against the metric contract, and the rules of this repository.
///
/// With PATHs, check files from anywhere instead: rule files, PrometheusRule objects, Grafana dashboards and
/// Alertmanager's configuration, told apart by their shape, in YAML streams and JSON. Recording rules among them are
/// known to each other; a dashboard's exceptions stand beside it in <name>.allow.yaml, a rule's in a comment on its lines,
/// `# rulecheck: allow CHECK: reason`.
///
/// Prints one finding a line, `file:line: severity: check: message`, and what to do below it. Exits 0 when there is no
/// error (warnings alone are none), 1 with an error, 2 when a PATH is not there.
#[derive(Debug, Args)]
pub struct Check {
    /// Files, or folders whose *.yaml, *.yml and *.json are read, relative to the current folder [default: the sources]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Take the metric contract from here instead of metrics/ of this repository; may be given more than once
    #[arg(long, value_name = "DIR")]
    pub metrics: Vec<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A finding a line, with its help below, and the count at the end
    Text,
    /// One array on stdout; everything else goes to stderr
    Json,
    /// Workflow commands, which GitHub shows beside the lines of a pull request
    Github,
}

/// Compare what a target exposes with the metric contract, or write a starting contract from it.
///
/// What is read is the text of a scrape, in Prometheus' format or that of OpenMetrics. For a job that the contract has,
/// every difference is printed: what is missing or new, another type, an unknown label, a value that a label cannot have,
/// other buckets; the exit status is 1 if there is one. For any other job a contract to start from is printed, with the
/// values that were seen as comments: redirect it to metrics/<source>.yaml and say what one scrape does not show.
#[derive(Debug, Args)]
pub struct Contract {
    /// A file, `-` for stdin, or an http(s) URL such as http://localhost:8080/metrics
    #[arg(value_name = "FILE|URL")]
    pub source: String,
    /// The job that scrapes the target [default: a new one, named after the file or the host]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
}

/// Take dashboards over from Grafana.
#[derive(Debug, Args)]
pub struct Dashboards {
    #[command(subcommand)]
    pub command: DashboardsCommand,
}

#[derive(Debug, Subcommand)]
pub enum DashboardsCommand {
    Import(Import),
}

/// Write an export of Grafana's, or a file that somebody edited, to dashboards/<uid>.json in the form that is kept there.
///
/// Ids and versions of one Grafana, its data sources and the choices in its variables are taken out, and keys get one
/// order, so that a diff shows only what a person changed. A file that has this form already stays as it is. Export
/// as classic JSON: provisioning refuses the v2 resource.
#[derive(Debug, Args)]
pub struct Import {
    /// The dashboard, relative to the current folder
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write it, relative to the current folder [default: dashboards/<uid>.json]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Write the generated pages of docs/: the reference of the alerts, the pictures and tables of the dashboards.
///
/// They come from alerts/, dashboards/ and metrics/, and are committed, so that they can be read without this tool.
#[derive(Debug, Args)]
pub struct Docs {
    /// Write nothing; fail and name every page that is stale, with its first differing line
    #[arg(long)]
    pub check: bool,
}

/// Say what a PromQL expression gives, arm by arm: labels, kind of number, unit, bounds, and when there is a value.
///
/// It is inferred from the metric contract and the recording rules, without a server, as the checks see it. `or` makes
/// several arms. A label with a question mark is one that a series may lack, `…` stands for labels that nobody declared.
#[derive(Debug, Args)]
pub struct Explain {
    /// The expression, or the name of an alert for its expression
    #[arg(value_name = "EXPR")]
    pub expr: String,
}

/// Check, assemble, pack and checksum the chart into dist/.
///
/// The same sources give the same bytes on every machine. The time of all files is SOURCE_DATE_EPOCH where that is set,
/// else the date beside the version in CHANGELOG.md.
///
/// A signature that is there already and still good stays, since a new one of the same archive would be another artifact to a
/// registry. A key's secret half and its passphrase are gpg's business and never in arguments; $GNUPGHOME says where gpg looks.
#[derive(Debug, Args)]
pub struct Package {
    /// Build only this edition
    #[arg(long)]
    pub edition: Option<Edition>,
    /// Fail when an edition cannot be built, instead of a warning
    #[arg(long)]
    pub require_all: bool,
    /// Where the archives go, relative to the current folder [default: dist/ of the checkout]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Add the archives to this index.yaml of a chart repository; the merged one is dist/index.yaml
    #[arg(long, value_name = "FILE")]
    pub index: Option<PathBuf>,
    /// Sign each archive with this key of gpg's, as `helm package --sign` does: <archive>.prov
    #[arg(long, value_name = "KEY")]
    pub sign: Option<String>,
    /// The file with the key's passphrase; without it gpg's agent asks
    #[arg(long, value_name = "FILE", requires = "sign")]
    pub passphrase_file: Option<PathBuf>,
}

/// Push the archives of dist/ to an OCI registry: never over another content, and the version's tag last.
///
/// `cargo xtask publish oci://ghcr.io/acme/charts` writes oci://ghcr.io/acme/charts/<chart>:<version> for each edition, as
/// `helm push` does, but so that the same archive always gets the same digest. What is there already is not sent again; a
/// version that is there with other content is refused. The tag is written last and read back: whatever happens on the
/// way, it is absent or right, and a second run completes.
///
/// What does not verify, or does not come out the same when its commit is packed again, never goes: neither does a build
/// with changes that no commit has, without a dated heading in CHANGELOG.md, with a tag of another version, or, in the
/// full edition, with another dependency than the pinned one. The digests, for `cosign sign`, are printed and written to
/// publish.json.
#[derive(Debug, Args)]
pub struct Publish {
    /// The registry and the folder of charts in it; `+` in a version becomes `_`
    #[arg(value_name = "oci://HOST/PATH")]
    pub target: String,
    /// Publish only this edition [default: all that were packaged]
    #[arg(long)]
    pub edition: Option<Edition>,
    /// Where the archives are, relative to the current folder [default: dist/ of the checkout]
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// Do not pack the recorded commit once more and compare, for where `cargo xtask verify --rebuild` has just done that
    #[arg(long)]
    pub no_rebuild: bool,
    /// Ask what is there and print what would be sent; send nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub registry: Registry,
}

/// How a registry is talked to. Without --username the login is the one that `helm registry login` stored, else Docker's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registry")]
pub struct Registry {
    /// The user [default: $GORAX_MONITORING_REGISTRY_USERNAME, else Helm's login, else Docker's]
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The password, once it was read; never an argument, which every user of the machine could see
    #[arg(skip)]
    pub password: Option<Secret>,
    /// Read the password or token from stdin [default: $GORAX_MONITORING_REGISTRY_PASSWORD]
    #[arg(long)]
    pub password_stdin: bool,
    /// Talk HTTP without encryption, only to a registry on this machine
    #[arg(long)]
    pub plain_http: bool,
    /// Trust the authorities in this PEM file instead of the machine's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How long one request may take
    #[arg(long, value_name = "SECONDS", default_value_t = Registry::default().timeout, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// How often a request is tried again after temporary trouble: a broken connection, 429, 5xx
    #[arg(long, value_name = "N", default_value_t = Registry::default().retries)]
    pub retries: u32,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry {
            username: None,
            password: None,
            password_stdin: false,
            plain_http: false,
            ca_file: None,
            timeout: 60,
            retries: 3,
        }
    }
}

impl Registry {
    /// Reads the password, where stdin is said to bring one.
    pub fn read_password(&mut self) -> Result<()> {
        if self.password_stdin {
            let password = std::io::read_to_string(std::io::stdin()).context("reading the password from stdin")?;
            self.password = Some(registry::password(&password));
        }
        Ok(())
    }

    /// How the HTTP client is to behave.
    pub fn settings(&self) -> Result<http::Settings> {
        let timeout = Duration::from_secs(self.timeout);
        Ok(http::Settings {
            answer_within: timeout,
            finish_within: timeout,
            retries: self.retries,
            authorities: self.ca_file.as_deref().map(http::authorities).transpose()?,
        })
    }
}

/// Make a release of what is unreleased: one commit, ready for its tag.
///
/// CHANGELOG.md's section `## [Unreleased]` gets the version and the date, chart/Chart.yaml the version, README.md the names of the
/// archives, and the generated files follow. Everything or nothing: with changes that no commit has, a version that is not above
/// the chart's or has a heading already, a date before the last release's, or nothing unreleased, every file stays as it is. It
/// neither tags nor pushes, and prints what to do next.
#[derive(Debug, Args)]
pub struct Release {
    /// The new version, such as 1.2.3
    #[arg(value_name = "VERSION")]
    pub version: String,
    /// The date of the release, which is also the time of every file in its archives [default: today in UTC]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub date: Option<String>,
}

/// Prove the whole: Rust tests, drift, checks, promtool's rule tests, both Helm majors on the archive.
///
/// Its tools (Helm 3 and 4, Prometheus, amtool, a registry, …) are built from tools/go.mod into target/tools (once;
/// minutes), or found on PATH in the pinned version. What needs a tool that cannot be had is skipped and counted. The
/// last line is `N passed, N failed, N skipped`.
#[derive(Debug, Args)]
pub struct Test {
    /// Build no tool that would have to be downloaded
    #[arg(long)]
    pub offline: bool,
    /// Fail where a tool is missing, instead of skipping what needs it
    #[arg(long)]
    pub require_tools: bool,
}

/// Bring the pinned dependencies into the cache and into chart/charts/, and derive what checks need to know of them.
///
/// An archive comes from the cache, else from the dependency's repository in chart/Chart.yaml, and is taken only if its
/// sha256 is that of chart/dependencies.sha256. The cache is $GORAX_MONITORING_CACHE, else gorax-monitoring in
/// $XDG_CACHE_HOME or ~/.cache. After it, `helm install gorax-monitoring ./chart` works from the checkout.
#[derive(Debug, Args)]
pub struct Vendor {
    /// Import this archive instead of fetching one
    #[arg(long, value_name = "PATH")]
    pub from: Option<PathBuf>,
    /// Take an archive with another digest; what is built with it is marked and never published
    #[arg(long, requires = "from", conflicts_with = "pin")]
    pub allow_unpinned: bool,
    /// Make the archive's digest the pinned one, for mirrors that pack again
    #[arg(long, requires = "from")]
    pub pin: bool,
}

/// Prove that an archive, or dist/, is what `package` wrote: from the files alone, without the sources and without a network.
///
/// Of a folder every file counts: SHA256SUMS lists each and nothing else, and the lists of contents and of images, the bills of
/// materials, the profiles, index.yaml, package.json and publish.json are compared with what the archives give. Of an archive its
/// form is proved byte by byte, and the files beside it that bear its name. Of a signature the text and the armour are proved; that
/// it is a good one, by whom, needs --keyring. Prints a line for each defect, `file: what is wrong and where`, and exits 1 if there
/// is one.
///
/// Of a reference, oci://HOST/PATH/NAME:VERSION, all is fetched by its digest: the archive, its signature, and the bill of materials
/// and the statement on its build that are attached to it; they are proved in the same way, and the manifests must be those that
/// `publish` writes.
#[derive(Debug, Args)]
pub struct Verify {
    /// An archive, a folder or what was published; paths are relative to the current folder [default: dist/ of the checkout]
    #[arg(value_name = "ARCHIVE|DIR|oci://REF")]
    pub target: Option<PathBuf>,
    /// Pack the recorded commit again, from this repository's history, and compare the bytes
    #[arg(long)]
    pub rebuild: bool,
    /// Demand a good signature of each archive by a key of this keyring, a file as `gpg --export` writes it
    #[arg(long, value_name = "FILE")]
    pub keyring: Option<PathBuf>,
    #[command(flatten)]
    pub registry: Registry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Edition {
    /// With kube-prometheus-stack inside, for a cluster without a Prometheus stack
    Full,
    /// Without it, for a cluster that runs one; needs only the Prometheus Operator's CRDs
    Addon,
}

impl Edition {
    /// Both, in the order in which they are built.
    pub const ALL: [Edition; 2] = [Edition::Full, Edition::Addon];

    /// What follows the chart's name in that of the addon edition.
    pub const ADDON_SUFFIX: &str = "-addon";

    /// The edition that a chart is.
    pub fn of(chart: &Chart) -> Edition {
        if chart.name.ends_with(Edition::ADDON_SUFFIX) { Edition::Addon } else { Edition::Full }
    }

    /// `full` or `addon`.
    pub fn name(self) -> &'static str {
        match self {
            Edition::Full => "full",
            Edition::Addon => "addon",
        }
    }

    /// The edition of that name.
    pub fn named(name: &str) -> Option<Edition> {
        Edition::ALL.into_iter().find(|edition| edition.name() == name)
    }
}

/// What `cargo xtask` prints without arguments: the commands, and what this machine lacks.
pub fn overview(root: &Path) -> Result<()> {
    say!("{}", Flags::command().render_help());
    let mut missing = tools::missing(root);
    if let Ok(sources) = Sources::read(root)
        && let Ok(model) = Model::parse(&sources)
        && let Ok(Err(reason)) = dependency::find_all(root, &model)
    {
        missing.push(format!("{reason}; until then `cargo xtask package` builds the addon edition only"));
    }
    if missing.is_empty() {
        say!("Nothing is missing on this machine.");
    } else {
        say!("Missing on this machine:");
        missing.iter().for_each(|line| say!("  {line}"));
    }
    Ok(())
}
