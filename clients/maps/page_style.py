"""How the page of a map looks."""

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 62rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; margin: 0 0 .8rem; }
[hidden] { display: none !important; }
fieldset { border: 0; padding: 0; margin: 0 0 .8rem; display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
fieldset legend { float: left; padding: 0; margin-right: .6rem; color: #555; }
fieldset label { border: 1px solid #bbb; border-radius: 1rem; padding: .15rem .8rem; cursor: pointer; }
fieldset label:has(:checked) { background: #3b1091; border-color: #3b1091; color: #fff; }
fieldset label:has(:focus-visible) { outline: 2px solid #e16462; outline-offset: 2px; }
fieldset input { position: absolute; opacity: 0; }
.map { position: relative; background: #e0e0e0; aspect-ratio: var(--aspect); cursor: crosshair;
  width: min(100%, calc(72vh * var(--aspect))); border: 1px solid #bbb; }
.map img, .map svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.map img.score { image-rendering: pixelated; }
.map svg { overflow: hidden; pointer-events: none; }
circle { fill: #fff; stroke: #000; stroke-width: 1.5; }
svg text { font-size: 16px; text-anchor: middle; dominant-baseline: central; }
path { fill: none; stroke-linejoin: miter; vector-effect: non-scaling-stroke; }
path.under { stroke: #000; stroke-width: 3.5; }
path.over { stroke: #fff; stroke-width: 1.6; }
.bar { position: absolute; left: 3%; bottom: 3%; border: solid #fff; border-width: 0 2px 3px; color: #fff;
  text-align: center; text-shadow: 0 0 3px #000, 0 0 3px #000; font-size: 13px; filter: drop-shadow(0 0 1px #000); }
.below { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: start; margin: .8rem 0 1.2rem; }
.legend { display: flex; gap: .6rem; align-items: center; }
.legend img { height: 14px; width: 18rem; border: 1px solid #888; }
small { color: #555; display: block; }
output { font-variant-numeric: tabular-nums; min-width: 18rem; color: #333; }
table { border-collapse: collapse; font-size: 13px; color: #555; }
td { padding: .1rem .8rem .1rem 0; vertical-align: top; }
"""
