"""How the page looks: readable on a phone and on paper, light or dark as the reader's system is."""

STYLE = """
:root { color-scheme: light dark;
  --page: #f6f5f1; --card: #ffffff; --ink: #1d2421; --soft: #5d6762; --line: #dedcd3;
  --bar: #2f7f79; --bar-first: #1c5c58; --track: #e9e7df; --note: #fbf3dc; --note-line: #d9b44a;
  --s0: #2f7f79; --s1: #d08c3a; --s2: #7a6bb0; --s3: #b8566a; --s4: #5c8a3c; --s5: #a9aca6; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14191a; --card: #1d2425; --ink: #e8ebe6; --soft: #a3ada8; --line: #343d3d;
  --bar: #4fb0a7; --bar-first: #7fd3c9; --track: #2b3334; --note: #2e2a1c; --note-line: #b8963c;
  --s0: #4fb0a7; --s1: #d99a4e; --s2: #9a8cd0; --s3: #d07a8c; --s4: #82b35e; --s5: #6c7472; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.1rem 3rem; }
header p { margin: 0; color: var(--soft); }
h1 { font-size: clamp(1.5rem, 4.5vw, 2.1rem); line-height: 1.2; margin: .1rem 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 0 0 .8rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .7rem; padding: 1.1rem 1.2rem;
  margin-top: 1.1rem; }
.place { display: grid; grid-template-columns: minmax(0, 20rem) 1fr; gap: 1.3rem; align-items: start; }
figure { margin: 0; }
figure img { display: block; width: 100%; border-radius: .5rem; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: .4rem; overflow-wrap: anywhere; }
.seen { max-width: 9rem; margin-top: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.1rem; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.label { display: inline-block; font-size: .8rem; font-weight: 600; padding: .1rem .6rem; border-radius: 1rem;
  background: var(--note); border: 1px solid var(--note-line); }
.notes { list-style: none; margin: 1.1rem 0 0; padding: 0; }
.notes li { background: var(--note); border-left: 3px solid var(--note-line); padding: .4rem .7rem;
  border-radius: .2rem; margin-top: .4rem; font-size: .92rem; }
ol.ranking { list-style: none; margin: 0; padding: 0; }
ol.ranking li { display: grid; grid-template-columns: 2rem 1fr 4rem; gap: 0 .6rem; padding: .6rem 0;
  border-top: 1px solid var(--line); }
ol.ranking li:first-child { border-top: 0; padding-top: 0; }
.rank { color: var(--soft); font-variant-numeric: tabular-nums; }
.score { text-align: right; font-variant-numeric: tabular-nums; }
.id { display: block; font-weight: 400; color: var(--soft); font-size: .8rem; overflow-wrap: anywhere; }
li:first-child .caption { font-weight: 600; }
.bar { grid-column: 2 / 4; height: .4rem; border-radius: .2rem; background: var(--track); margin-top: .35rem; }
.bar i { display: block; height: 100%; border-radius: .2rem; background: var(--bar); }
li:first-child .bar i { background: var(--bar-first); }
.stack { display: flex; height: 1.1rem; border-radius: .3rem; overflow: hidden; background: var(--track); }
.stack i { display: block; min-width: 1px; }
table { border-collapse: collapse; width: 100%; margin-top: .8rem; font-variant-numeric: tabular-nums; }
td, th { text-align: right; padding: .3rem 0 .3rem .6rem; border-top: 1px solid var(--line); font-weight: 400; }
td:first-child, th:first-child { text-align: left; padding-left: 0; }
thead th { border-top: 0; color: var(--soft); font-size: .85rem; }
tr.total td { font-weight: 600; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: .15rem; margin-right: .55rem; }
.small, footer { color: var(--soft); font-size: .85rem; }
.small { margin: .7rem 0 0; }
footer { margin-top: 1.3rem; }
@media (max-width: 44rem) { .place { grid-template-columns: 1fr; } section { padding: 1rem .9rem; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
