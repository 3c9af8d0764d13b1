"""PDFs are compiled by a TeX that can neither read nor write nor run anything else."""

from __future__ import annotations

import pickle
import shutil

import pytest

from lstmgen.document.latex.pdf import Overfull, TexFailed, TexMissing, TexTimeout, compile_pdf, overfull_boxes

with_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: `make tex` installs it")


def document(body: str, preamble: str = "") -> str:
    fixed = r"\pdftrailerid{}\pdfsuppressptexinfo=-1 \pdfcompresslevel=0 \pdfobjcompresslevel=0"
    lines = [r"\documentclass{article}", fixed, preamble, r"\begin{document}", body, r"\end{document}", ""]
    return "\n".join(lines)


@with_tex
def test_a_document_becomes_a_pdf_always_the_same():
    tex = document("Hello.")
    compiled = compile_pdf(tex)
    assert compiled.pdf.startswith(b"%PDF-")
    assert compiled.log.startswith("This is pdfTeX")
    assert compile_pdf(tex).pdf == compiled.pdf


@with_tex
def test_there_are_as_many_passes_as_the_document_needs():
    # The contents take a page of their own, so the label's page is wrong until the third pass.
    body = r"\tableofcontents\newpage\section{One}\label{one}On page \pageref{one}, in \ref{one}."
    assert "??" not in (log := compile_pdf(document(body)).log)
    assert "Rerun" not in log and "undefined" not in log


# --- the leash


@with_tex
@pytest.mark.parametrize(
    "body",
    [
        r"\input{/etc/passwd}",
        r"\input{../../etc/passwd}",
        r"\newread\file \openin\file=/etc/passwd \ifeof\file\errmessage{no}\fi \read\file to\x \message{\x}",
        r"\newwrite\file \immediate\openout\file=/tmp/written-by-tex.txt ",
        r"\newwrite\file \immediate\openout\file=../written-by-tex.txt ",
    ],
)
def test_nothing_outside_the_folder_is_read_or_written(body):
    with pytest.raises(TexFailed) as caught:
        compile_pdf(document(body))
    assert "root:" not in caught.value.log


@with_tex
@pytest.mark.parametrize("name", ["TEXINPUTS", "TEXINPUTS.pdflatex"])
def test_the_users_environment_does_not_widen_what_is_read(monkeypatch, tmp_path, name):
    (tmp_path / "secret.tex").write_text(r"\message{the secret}")
    monkeypatch.setenv(name, f"{tmp_path}:")
    monkeypatch.setenv("openin_any", "a")
    monkeypatch.setenv("openin_any.pdflatex", "a")
    for secret in ("secret", tmp_path / "secret"):
        with pytest.raises((TexFailed, TexMissing)) as caught:
            compile_pdf(document(rf"\input{{{secret}}}"))
        assert "the secret" not in getattr(caught.value, "log", "")


@with_tex
def test_the_shell_is_not_reached():
    body = r"\immediate\write18{echo > made.tex}\IfFileExists{made.tex}{\errmessage{reached}}{not reached}"
    assert "runsystem(echo > made.tex)...disabled" in compile_pdf(document(body)).log


@with_tex
def test_a_document_without_end_is_stopped():
    with pytest.raises(TexTimeout, match="after 1 seconds"):
        compile_pdf(document(r"\def\again{\again}\again"), seconds=1)


@with_tex
def test_a_document_that_asks_gets_no_answer():
    with pytest.raises(TexFailed):
        compile_pdf(document(r"\typein[\answer]{What?}\answer"))


# --- what can go wrong


@with_tex
def test_a_mistake_is_told_with_its_line():
    with pytest.raises(TexFailed, match="Undefined control sequence") as caught:
        compile_pdf(document("fine\n\\nonsense"))
    line = document("fine\n\\nonsense").splitlines().index(r"\nonsense") + 1
    assert caught.value.line == line
    assert f"at line {line}: Undefined control sequence" in str(caught.value)


@with_tex
def test_a_document_without_pages_is_no_pdf():
    with pytest.raises(TexFailed):
        compile_pdf(document(""))


@with_tex
def test_a_package_that_is_missing_is_named_with_what_installs_it():
    with pytest.raises(TexMissing, match=r"nosuch\.sty was not found.*texlive-latex-base"):
        compile_pdf(document("", r"\usepackage{nosuch}"))


def test_without_tex_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TexMissing, match="pdflatex was not found.*texlive-latex-base"):
        compile_pdf(document("Hello."))


@with_tex
def test_what_sticks_out_is_found():
    log = compile_pdf(document(r"\noindent\rule{50cm}{1pt}")).log
    (box,) = overfull_boxes(log)
    assert box.points > 1000 and "paragraph" in box.where


def test_overfull_boxes_are_read_from_a_log():
    log = (
        "Underfull \\hbox (badness 1) in paragraph at lines 1--2\n"
        "Overfull \\hbox (12.5pt too wide) in paragraph at lines 12--14\n"
        "Overfull \\hbox (1.0pt too wide) detected at line 20\n"
        "Overfull \\vbox (3.25pt too high) has occurred while \\output is active []\n"
    )
    assert overfull_boxes(log) == [
        Overfull(12.5, "in paragraph at lines 12--14"),
        Overfull(1.0, "detected at line 20"),
        Overfull(3.25, "has occurred while \\output is active []"),
    ]


@pytest.mark.parametrize("error", [TexMissing("pdflatex"), TexFailed("bad", 3, "log"), TexTimeout(2.0)])
def test_errors_survive_the_way_back_from_a_worker(error):
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and vars(again) == vars(error)
