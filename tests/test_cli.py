"""The commands as somebody types them: what they print, what they write, and with which status they end."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import lstmgen
from lstmgen import pipeline
from lstmgen.cli import main
from lstmgen.cli.failures import TRACEBACK
from lstmgen.cli.making import NOTATIONS
from lstmgen.resources import AUDITS, packaged_specs

COMMANDS = ("build", "verify", "show", "explain", "expand", "list", "new", "schema")
CHECKOUT = Path(__file__).parent.parent

# Small, so that its proofs take no time.
SMALL = """\
name: {name}
state: {{h: H}}
parameters: {{W: [H, D]}}
equations:
  h: 0.5 * h[t-1] + W @ x
output: h
"""


def run(*arguments: str, **options):
    """The command's result, its two streams apart."""
    try:
        runner = CliRunner(mix_stderr=False)  # click 8.1
    except TypeError:
        runner = CliRunner()
    result = runner.invoke(main, [str(argument) for argument in arguments], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stdout + result.stderr
    return result


def run_process(*arguments: str, cwd: Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "lstmgen", *arguments], cwd=cwd, capture_output=True,
                          text=True, encoding="utf-8", env=environment(**options), timeout=300)


def environment(**extra: str) -> dict[str, str]:
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path.rstrip(os.pathsep), "PYTHONIOENCODING": "utf-8"} | extra


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(name: str = "small", folder: str = ".", **changes: str) -> str:
    """The path of a small spec, with some of its text changed."""
    text = SMALL.format(name=name)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = Path(folder) / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples?:  lstmgen {command}\b", result.stdout)


def test_the_commands_stand_in_the_order_of_their_use():
    listed = re.findall(r"(?m)^  ([a-z]+)  ", run("--help").stdout)
    assert listed == list(main.commands) and listed[0] == "build"
    assert set(COMMANDS) <= set(listed)


def test_version():
    assert lstmgen.__version__ in run("--version").stdout


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["--version"], ["explain", "-h"]])
def test_help_waits_for_no_library(arguments):
    code = (f"import sys; from lstmgen.cli import main; main({arguments!r}, standalone_mode=False); "
            "print(sorted({'sympy', 'numpy', 'jinja2', 'yaml'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("arguments", [["no_such_command"], ["build"], ["build", "--no-such-option", "gru"],
                                       ["build", "gru", "-j", "0"], ["explain", "gru"],
                                       ["build", "gru", "--notation", "runes"]])
def test_bad_usage_is_2(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr and not files()


def test_an_unknown_notation_is_told_with_the_one_that_was_meant():
    with pytest.raises(ValueError, match="there is no notation 'gref'; did you mean 'greff'?"):
        lstmgen.build(small("first"), notation="gref", verify=False)
    assert not Path("generated").exists()
    result = run("build", small("first"), "--notation", "gref")
    assert result.exit_code == 2 and "greff" in result.stderr


def test_the_notations_are_those_of_a_spec():
    from lstmgen.spec import reader

    assert NOTATIONS == reader.NOTATIONS


# ---------------------------------------------------------------- build


def test_build_writes_what_it_has_verified():
    result = run("build", small(), "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert files() == {"small.yaml", "out/small.py", "out/small.tex"}
    assert "passed" in result.stdout and "FAILED" not in result.stdout
    assert "wrote out/small.py  out/small.tex" in result.stdout


@pytest.mark.parametrize("more", [[], ["--checkpoint", "5"], ["--target", "all"]])
def test_build_writes_a_bare_module_that_has_passed_the_proofs(more):
    result = run("build", small(), "-o", "out", "--bare", *more)
    text = Path("out/small.py").read_text()
    assert "No argument is checked" in text and "_checked" not in text and "__main__" not in text
    assert "1  complex step    passed" in result.stdout and "NOT VERIFIED" not in text
    compile(text, "small.py", "exec")


def test_the_folder_is_generated_where_nothing_is_said():
    assert run("build", small()).exit_code == 0
    assert {"generated/small.py", "generated/small.tex"} < files()


def test_build_takes_the_name_of_a_packaged_spec():
    assert run("build", "rnn", "--no-verify").exit_code == 0
    assert {"generated/rnn.py", "generated/rnn.tex"} == files()


def test_a_folder_of_a_packaged_specs_name_is_not_in_the_way():
    Path("rnn").mkdir()
    assert run("show", "rnn").exit_code == 0


def test_a_file_of_a_packaged_specs_name_comes_first():
    small("rnn")
    assert "0.5" in run("show", "rnn.yaml").stdout


def test_what_was_not_verified_says_so():
    result = run("build", small(), "--no-verify")
    assert result.exit_code == 0
    assert "not verified" in result.stdout
    assert "not verified" in Path("generated/small.py").read_text().lower()


def test_several_specs_on_two_cores():
    specs = [small(name) for name in ("first", "second", "third")]
    result = run("build", *specs, "-o", "out", "-j", "2")
    assert result.exit_code == 0, result.stderr
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["first", "verified,"], ["second", "verified,"], ["third", "verified,"]]
    assert {f"out/{name}{end}" for name in ("first", "second", "third") for end in (".py", ".tex")} < files()


def test_one_core_and_two_give_the_same_files():
    specs = [small(name) for name in ("first", "second")]
    assert run("build", *specs, "-o", "one", "-j", "1").exit_code == 0
    assert run("build", *specs, "-o", "two", "-j", "2").exit_code == 0
    for path in Path("one").iterdir():
        assert path.read_bytes() == (Path("two") / path.name).read_bytes()


def test_two_specs_of_one_name_are_refused():
    result = run("build", small(), small(folder="other"), "-o", "out")
    assert result.exit_code == 2
    assert result.stderr == (
        "other/small.yaml: error: the cell is called 'small', as is the cell of small.yaml; "
        "rename one\n")
    assert not Path("out").exists()


def test_the_mistakes_of_all_specs_are_told_and_nothing_is_built():
    wrong = [small("first", **{"W @ x": "U @ x"}), small("good"), small("second", **{"h: H": "h: K"})]
    result = run("build", *wrong, "-o", "out")
    assert result.exit_code == 2
    assert "first.yaml:5:21: error:" in result.stderr and "second.yaml:2:" in result.stderr
    assert not Path("out").exists()


def test_a_mistake_is_located_with_a_caret():
    path = small(**{"W @ x": "V @ x"})
    for command in (["build", path], ["verify", path], ["show", path], ["explain", path, "h"]):
        result = run(*command)
        assert result.exit_code == 2
        where, line, caret = result.stderr.splitlines()[:3]
        assert where.startswith("small.yaml:5:21: error: ")
        assert line[caret.index("^")] == "V"
        assert not result.stdout
    assert files() == {"small.yaml"}


def test_an_unknown_spec_suggests():
    for command in (["build", "peephole_ltsm"], ["verify", "peephole_ltsm"], ["show", "peephole_ltsm"],
                    ["expand", "peephole_ltsm"], ["new", "mine", "--from", "peephole_ltsm"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "did you mean 'peephole_lstm'?" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not files()


@pytest.mark.parametrize("claims, cure", [
    ("notes_hat", "did you mean 'notes_hats'?"),
    ("qqqqqqqq.yaml", f"they are in {AUDITS}"),
    ("lstm", "'lstm' is a cell: --module or --arrays compare code or numbers with it"),
])
def test_unknown_claims_suggest(claims, cure):
    result = run("audit", claims)
    assert result.exit_code == 2
    assert result.stderr == f"error: there is no file '{claims}', and no packaged file of claims of that name; {cure}\n"


def test_a_packaged_file_of_claims_is_audited_by_its_name_unless_a_file_has_it():
    result = run("audit", "notes_stacked")
    assert result.exit_code == 0 and re.search(r"(?m)^\d+ claims?: .*\b\d+ holds?\b", result.stdout)
    assert result.stdout == run("audit", "notes_stacked.yaml").stdout
    Path("notes_stacked").write_text("spec: rnn\nclaims: {d_h: 0}\n")
    assert run("audit", "notes_stacked").exit_code == 1


def test_a_name_without_its_ending_suggests_the_file():
    path = Path(small())
    for command in ("show", "build", "audit"):
        result = run(command, path.stem)
        assert result.exit_code == 2 and f"did you mean '{path.name}'?" in result.stderr


@pytest.mark.parametrize("command, name, text, words", [
    ("show", "cell.py", "x = 1\n", "'cell.py' is Python, and a spec is a YAML file; lstmgen audit SPEC --module FILE"),
    ("audit", "notes.tex", "$x$\n", "which cell is it about?"),
    ("build", "notes.md", "# x\n", "spec.md tells how one is written"),
    ("build", "notes.ipynb", "{}\n", "'notes.ipynb' is a notebook, and a spec is a YAML file; "),
    ("audit", "theirs.npz", "", "lstmgen audit SPEC --arrays FILE.npz compares its numbers with a cell"),
    ("show", "claims.yaml", "spec: rnn\nclaims: {d_h: dy}\n", "claims.yaml:1:1: error: this is a file of claims, not a spec; "
                                                             "'lstmgen audit' reads it"),
    ("audit", "cell.yaml", "name: cell\ncell: rnn\n", "cell.yaml:1:1: error: this is a spec, not a file of claims; --module"),
])
def test_a_file_of_another_kind_is_told_to_be_one(command, name, text, words):
    Path(name).write_text(text)
    result = run(command, name)
    assert result.exit_code == 2 and words in result.stderr


def test_a_spec_like_no_other_names_the_list():
    result = run("show", "qqqqqqqq")
    assert result.exit_code == 2 and "lstmgen list" in result.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_what_cannot_be_read_or_written_is_2():
    path = small()
    Path("closed").mkdir(mode=0o500)
    assert run("build", path, "-o", "closed").exit_code == 2
    Path(path).chmod(0)
    assert run("build", path).exit_code == 2


def test_a_file_in_the_place_of_the_folder_is_2():
    Path("out").write_text("mine")
    result = run("build", small(), "-o", "out")
    assert result.exit_code == 2
    assert Path("out").read_text() == "mine"


def test_a_folder_is_no_spec():
    Path("folder").mkdir()
    result = run("build", "folder")
    assert result.exit_code == 2 and "folder" in result.stderr


def test_edited_output_is_kept_without_force():
    path = small()
    assert run("build", path).exit_code == 0
    module = Path("generated/small.py")
    edited = module.read_text() + "# mine\n"
    module.write_text(edited)
    result = run("build", path)
    assert result.exit_code == 2
    assert "generated/small.py: was edited" in result.stderr and "--force" in result.stderr
    assert module.read_text() == edited
    assert run("build", path, "--force").exit_code == 0
    assert module.read_text() != edited


def test_one_edited_output_does_not_end_the_others():
    specs = [small("first"), small("second")]
    Path("generated").mkdir()
    Path("generated/first.py").write_text("mine")
    result = run("build", *specs, "-j", "2")
    assert result.exit_code == 2
    assert "first   failed" in result.stderr and "1 of 2 failed" in result.stderr
    assert "second  verified" in result.stdout
    assert files() == {"first.yaml", "second.yaml", "generated/first.py", "generated/second.py",
                       "generated/second.tex"}


# ---------------------------------------------------------------- proofs that fail


@pytest.fixture
def wrong_figure(monkeypatch):
    """Modules with a gradient that is off by a thousandth."""
    source = pipeline.execute

    def execute(text: str, name: str):
        module = source(text, name)
        backward = module.backward

        def off(*arguments, **options):
            gradients = backward(*arguments, **options)
            return gradients._replace(params={key: 1.001 * value for key, value in gradients.params.items()})

        module.backward = off
        return module

    monkeypatch.setattr(pipeline, "execute", execute)


def test_of_a_module_that_fails_nothing_is_written(wrong_figure):
    result = run("build", small())
    assert result.exit_code == 1
    assert "FAILED" in result.stderr and "nothing was written" in result.stderr
    assert files() == {"small.yaml"}


def test_one_failure_among_several_is_1(wrong_figure):
    result = run("build", small("first"), small("second"), "-j", "1")
    assert result.exit_code == 1
    assert result.stderr.count("does not pass its proofs") == 2 and "2 of 2 failed" in result.stderr
    assert files() == {"first.yaml", "second.yaml"}


def test_verify_says_no_with_1(wrong_figure):
    result = run("verify", small())
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    result = run("verify", small(), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["small"]["passed"] is False


# ---------------------------------------------------------------- verify


def test_verify_prints_every_figure_and_writes_nothing():
    result = run("verify", small())
    assert result.exit_code == 0
    verdict = pipeline.verify("small.yaml")
    for figure in verdict.figures:
        assert f"  {figure.what}" in result.stdout
    assert files() == {"small.yaml"}


def test_the_figures_for_machines():
    result = run("verify", small("first"), small("second"), "--json", "-j", "2")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert list(told) == ["first", "second"]
    assert told["first"]["passed"] is True
    assert {figure["proof"] for figure in told["first"]["figures"]} == {0, 1, 2, 3, 4}


def test_several_verdicts_have_headings():
    result = run("verify", small("first"), small("second"))
    assert result.exit_code == 0
    assert "\nfirst\n0  meaning" in result.stdout and "\nsecond\n0  meaning" in result.stdout


# ---------------------------------------------------------------- the PDF


def test_without_tex_the_rest_is_written_and_the_status_is_1(monkeypatch):
    from lstmgen.document.latex import pdf as tex

    def missing(*arguments):
        raise tex.TexError("pdflatex is not installed: apt-get install texlive")

    monkeypatch.setattr(tex, "compile_pdf", missing)
    result = run("build", small(), "--pdf")
    assert result.exit_code == 1
    assert "no PDF: pdflatex is not installed" in result.stderr
    assert files() == {"small.yaml", "generated/small.py", "generated/small.tex"}


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX")
def test_the_pdf_lies_beside():
    result = run("build", small(), "--pdf")
    assert result.exit_code == 0, result.stderr
    assert Path("generated/small.pdf").read_bytes().startswith(b"%PDF")


# ---------------------------------------------------------------- show, explain, list


def test_show_is_plain_text_where_there_is_no_terminal():
    result = run("show", "gru")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "δh" in result.stdout


def test_show_has_colours_in_a_terminal():
    assert "\x1b[" in run("show", "gru", color=True).stdout


def test_a_terminal_without_symbols_gets_ascii(elsewhere):
    for arguments in (["show", "gru"], ["explain", "gru", "h"], ["list"]):
        done = run_process(*arguments, cwd=elsewhere, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
    assert "d_h" in run_process("show", "gru", cwd=elsewhere, PYTHONIOENCODING="ascii").stdout


def test_explain_answers():
    result = run("explain", "peephole_lstm", "c")
    assert result.exit_code == 0
    assert "c is read by five stages" in result.stdout
    assert result.stdout == run("explain", "peephole_lstm.yaml", "d_c").stdout


@pytest.mark.parametrize("name, expected", [("cc", "did you mean 'c'?"), ("W_q", "mean 'W_"), ("D", "size")])
def test_explain_does_not_know_the_name(name, expected):
    result = run("explain", "peephole_lstm", name)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ") and expected in result.stderr


def test_list_names_every_packaged_spec():
    listed = run("list").stdout
    for path in packaged_specs():
        assert re.search(rf"(?m)^  {path.stem} ", listed)


# ---------------------------------------------------------------- expand, new, schema


def test_expand_prints_a_spec_that_builds():
    result = run("expand", "gru")
    assert result.exit_code == 0
    Path("mine.yaml").write_text(result.stdout.replace("name: gru", "name: mine"), encoding="utf-8")
    assert "cell:" not in result.stdout
    assert run("show", "mine.yaml").exit_code == 0


def test_expand_prints_utf8_whatever_the_terminal_is(elsewhere):
    done = subprocess.run([sys.executable, "-m", "lstmgen", "expand", "peephole_lstm"], cwd=elsewhere,
                          capture_output=True, env=environment(PYTHONIOENCODING="ascii"))
    assert done.returncode == 0
    assert lstmgen.load(done.stdout.decode("utf-8")).references == lstmgen.load("peephole_lstm").references


def test_new_writes_a_spec_that_builds():
    result = run("new", "mine")
    assert result.exit_code == 0
    assert result.stdout == "wrote mine.yaml; build it with: lstmgen build mine.yaml\n"
    assert run("build", "mine.yaml").exit_code == 0
    assert lstmgen.load(Path("mine.yaml")).name == "mine"


def test_new_from_another_cell():
    assert run("new", "mine", "--from", "gru").exit_code == 0
    assert "reset" not in lstmgen.load(Path("mine.yaml")).name
    assert [item.name for item in lstmgen.load(Path("mine.yaml")).equations] == ["r", "z", "n", "h"]


def test_new_overwrites_by_force_alone():
    Path("mine.yaml").write_text("precious")
    result = run("new", "mine")
    assert result.exit_code == 2 and "--force" in result.stderr
    assert Path("mine.yaml").read_text() == "precious"
    assert run("new", "mine", "--force").exit_code == 0
    assert Path("mine.yaml").read_text() != "precious"


@pytest.mark.parametrize("name", ["a b", "1st", "class", "json", "../up", ""])
def test_new_refuses_a_name_that_no_cell_can_have(name):
    result = run("new", name)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert not files()


def test_new_from_a_wrong_spec_shows_its_mistake():
    result = run("new", "mine", "--from", small(**{"output: h": "output: k"}))
    assert result.exit_code == 2
    assert "small.yaml:6:9: error:" in result.stderr
    assert files() == {"small.yaml"}


def test_schema_is_json():
    assert json.loads(run("schema").stdout)["type"] == "object"


# ---------------------------------------------------------------- what goes wrong without anybody's fault


def test_a_defect_is_a_line_and_no_traceback(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError("in some\ncorner")

    monkeypatch.setattr(pipeline, "derive", broken)
    result = run("show", "gru")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ZeroDivisionError: in some corner\nThis is a defect of lstmgen")
    assert TRACEBACK in result.stderr


def test_a_defect_shows_its_place_to_who_asks(monkeypatch):
    def broken(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "derive", broken)
    monkeypatch.setenv(TRACEBACK, "1")
    result = CliRunner().invoke(main, ["show", "gru"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_full_disk_is_told(monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device", "small.py")

    monkeypatch.setattr(pipeline, "build", full)
    result = run("build", small())
    assert (result.exit_code, result.stderr) == (2, "error: small.py: No space left on device\n")


def test_too_little_memory_is_told(monkeypatch):
    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(pipeline, "derive", full)
    result = run("show", "gru")
    assert (result.exit_code, result.stderr) == (1, "error: not enough memory\n")


def test_an_interrupt_is_a_line(monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "derive", interrupted)
    result = run("show", "gru")
    assert (result.exit_code, result.stderr) == (130, "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal as a terminal does")
def test_ctrl_c_ends_the_workers_too(elsewhere):
    specs = [path.stem for path in packaged_specs()]
    build = subprocess.Popen(
        [sys.executable, "-m", "lstmgen", "build", *specs, "-j", "2"], cwd=elsewhere, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not files() and time.monotonic() < deadline:  # the first outputs: the workers are at work
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGINT)
    _, told = build.communicate(timeout=30)
    assert (build.returncode, told) == (130, "interrupted\n")
    assert not [name for name in files() if name.endswith(".tmp")]
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.killpg(build.pid, 0)
            time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="pipes of a shell")
def test_a_reader_that_leaves_is_no_error(elsewhere):
    show = subprocess.Popen([sys.executable, "-m", "lstmgen", "show", "fgr_lstm"],
                            cwd=elsewhere, env=environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    show.stdout.close()
    assert show.stderr.read() == ""
    assert show.wait(timeout=60) == 1


def test_errors_of_a_worker_come_back_whole(elsewhere):
    """Through another process, an error keeps its place and its words."""
    import pickle

    with pytest.raises(lstmgen.SpecError) as caught:
        lstmgen.load(Path(small(**{"output: h": "output: k"})))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.line == 6


def test_through_a_process_of_its_own(elsewhere):
    path = small()
    done = run_process("build", path, cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, "")
    assert run_process("build", small("bad", output="outputs"), cwd=elsewhere).returncode == 2
    assert run_process("verify", path, "--json", cwd=elsewhere).returncode == 0
    assert click.unstyle(run_process("show", path, cwd=elsewhere).stdout).startswith("Small  small")
