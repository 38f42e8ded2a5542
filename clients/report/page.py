"""The report as one HTML page that needs nothing from anywhere: no scripts, no fonts, pictures inside."""

from __future__ import annotations

from html import escape

from sat2sound.clients.ranking import RankedSound
from sat2sound.clients.report.content import Report
from sat2sound.clients.report.pictures import preview, seen_by_model
from sat2sound.clients.report.style import STYLE

_ORIGINS = {"file": "your image", "tile": "tile of the place", "synthetic": "synthetic scene"}
_REMAINDER = "transport and scheduling"
_COLOURS = 6


def render_page(report: Report) -> str:
    """A complete HTML document."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>What does this place sound like? {escape(report.scene.name)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<p>Sat2Sound</p>
<h1>What does this place sound like?</h1>
</header>
{_place(report)}
{_ranking(report)}
{_times(report)}
{_footer(report)}
</main>
</body>
</html>
"""


def _place(report: Report) -> str:
    kind = report.model.satellite
    trained = f"{report.model.name}, for {kind.name} images of {kind.metres_per_pixel:g} m per pixel"
    facts = [*report.facts, ("model", trained)]
    rows = "\n".join(f"<dt>{escape(label)}</dt><dd>{escape(value)}</dd>" for label, value in facts)
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return f"""<section class="place">
<figure>
<img src="{preview(report.scene)}" alt="The image that was sent to the server">
<figcaption>{escape(report.scene.name)}</figcaption>
</figure>
<div>
<p style="margin-top:0"><span class="label">{_ORIGINS[report.scene.origin]}</span></p>
<dl>
{rows}
</dl>
{f'<ul class="notes">{notes}</ul>' if notes else ""}
{_seen(report)}
</div>
</section>"""


def _seen(report: Report) -> str:
    """The model's own crop, where it is not simply the whole picture."""
    picture = seen_by_model(report.scene, report.model.config)
    if picture is None:
        return ""
    return f"""<figure class="seen">
<img src="{picture}" alt="The crop that the model looks at">
<figcaption>what the model looks at</figcaption>
</figure>"""


def _ranking(report: Report) -> str:
    best = max((sound.score for sound in report.ranking), default=1.0)
    rows = "\n".join(_ranked(sound, best) for sound in report.ranking)
    return f"""<section>
<h2>Sounds that fit this place</h2>
<ol class="ranking">
{rows}
</ol>
<p class="small">Score: cosine similarity of image and sound description, at most 1. Bars are relative to the best.</p>
</section>"""


def _ranked(sound: RankedSound, best: float) -> str:
    share = 100.0 * min(1.0, max(0.0, sound.score / best)) if best > 0 else 0.0
    where = f"{escape(sound.id)} {_link(sound.sound)}".strip()
    return f"""<li>
<span class="rank">{sound.rank}</span>
<span class="caption">{escape(sound.caption)}<span class="id">{where}</span></span>
<span class="score">{sound.score:.3f}</span>
<span class="bar"><i style="width:{share:.1f}%"></i></span>
</li>"""


def _link(sound: str) -> str:
    if sound.startswith(("https://", "http://")):
        return f'<a href="{escape(sound, quote=True)}" rel="noreferrer">listen</a>'
    return escape(sound)


def _times(report: Report) -> str:
    times = report.times
    parts = {**times.stages, _REMAINDER: times.remainder}
    whole = sum(parts.values()) or 1.0
    colours = [f"var(--s{index % _COLOURS})" for index in range(len(parts))]
    stack = "".join(
        f'<i style="width:{100 * value / whole:.2f}%;background:{colour}"></i>'
        for colour, value in zip(colours, parts.values(), strict=True)
    )
    rows = "\n".join(
        f'<tr><td><span class="key" style="background:{colour}"></span>{escape(name)}</td>'
        f"<td>{value:.2f} ms</td><td>{100 * value / whole:.0f} %</td></tr>"
        for colour, (name, value) in zip(colours, parts.items(), strict=True)
    )
    return f"""<section>
<h2>How long it took</h2>
<div class="stack" role="img" aria-label="share of each stage">{stack}</div>
<table>
<thead><tr><th>stage</th><th>mean</th><th>share</th></tr></thead>
<tbody>
{rows}
<tr class="total"><td>round trip</td><td>{times.total:.2f} ms</td><td></td></tr>
</tbody>
</table>
<p class="small">Mean of {times.requests} requests, one after another, by the server's own statistics (queueing
included). The very first request took {report.first_request_ms:.1f} ms.</p>
</section>"""


def _footer(report: Report) -> str:
    when = report.created.strftime("%Y-%m-%d %H:%M %Z").strip()
    server = f"NVIDIA Triton {report.server_version}"
    return f"""<footer>{escape(when)} · served by {escape(server)} · model {escape(report.model.name)}. The ranking is
an association learnt from pairs of images and sounds; nobody listened at this place.</footer>"""
