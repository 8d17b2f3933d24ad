"""How the page looks: light or dark as the reader's system is, printable, colours that the colour-blind tell apart.

The best is vermilion (Okabe and Ito 2008), all others one blue that grows stronger the better they are: its lightness
alone tells them apart. What failed is purple and marked by its shape as well.
"""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfbf9; --card: #ffffff; --ink: #1d2329; --quiet: #667079; --hair: #e3e5e4; --axis: #aab1b6;
  --best: #c44e00; --bad: #8a3b8f; --link: #1f5f9e; --soft: #f3f3ef;
  --low: #3b6fb6; --high: #e0892b;
  --q0: #cfd8df; --q1: #a9c1d4; --q2: #78a5ca; --q3: #4382b8; --q4: #12599a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e4e7e9; --quiet: #98a2aa; --hair: #2c3237; --axis: #59636b;
    --best: #ff9a4d; --bad: #d592da; --link: #8cc0f0; --soft: #22272c;
    --low: #5b93dd; --high: #ffb35c;
    --q0: #39434b; --q1: #43596b; --q2: #4f7ea6; --q3: #67a5d8; --q4: #a5d3fb;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial,
  sans-serif; -webkit-text-size-adjust: 100%;
}
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere;
  }
h1 small { color: var(--quiet); font-weight: 400; font-size: 18px; }
h2 { font-size: 18px; margin: 44px 0 4px; font-weight: 650; }
p { margin: 4px 0; } .note, figcaption { color: var(--quiet); font-size: 13px; }
.note { max-width: 110ch; } ul.note { padding-left: 18px; margin: 6px 0; }
a { color: var(--link); }
code, pre, .mono { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre {
  margin: 6px 0; padding: 10px 12px; background: var(--soft); border-radius: 6px; overflow-x: auto;
  white-space: pre-wrap;
  overflow-wrap: anywhere;
}
.facts { display: flex; flex-wrap: wrap; gap: 4px 32px; margin: 16px 0 0; }
.facts div { min-width: 90px; } .facts dt { color: var(--quiet); font-size: 12px; } .facts dd { margin: 0; }
.standing { display: inline-block; padding: 0 9px; border: 1px solid var(--axis); border-radius: 99px;
  font-size: 13px; }
.standing.running { border-color: var(--link); color: var(--link); }
.standing.died, .standing.damaged { border-color: var(--bad); color: var(--bad); }
.card { background: var(--card); border: 1px solid var(--hair); border-radius: 10px; padding: 18px 20px;
  margin-top: 12px; }
.hero { display: grid; grid-template-columns: minmax(180px, auto) 1fr; gap: 8px 36px; margin-top: 24px; }
.hero .value { font-size: 40px; line-height: 1.1; font-weight: 650; color: var(--best); letter-spacing: -.02em; }
.hero .value small { font-size: 18px; font-weight: 400; color: var(--quiet); letter-spacing: 0; }
.hero .wide { grid-column: 1 / -1; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 2px 0; padding: 0; list-style: none; }
.chips li { background: var(--soft); border-radius: 5px; padding: 1px 8px;
  font: 13px/1.6 ui-monospace, Menlo, monospace; }
.chips li span { color: var(--quiet); }
.scroll { overflow-x: auto; }
svg.chart { display: block; width: 100%; height: auto; overflow: visible; font: 11px system-ui, Arial, sans-serif; }
svg.wide { min-width: 620px; }
svg text { fill: var(--ink); } svg .tick { fill: var(--quiet); } svg .name { font-weight: 600; }
svg .halo { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; }
.grid { stroke: var(--hair); } .axis { stroke: var(--axis); }
.rung { stroke: var(--axis); stroke-dasharray: 2 4; }
.curve, .thread, .front { fill: none; stroke: var(--q3); stroke-width: 1.4; stroke-linejoin: round; }
.curve { opacity: .55; } .curve.running { stroke: var(--q3); stroke-dasharray: 6 3; opacity: 1; }
.curve.paused, .curve.waiting, .curve.stopped { stroke: var(--q1); opacity: .75; }
.end.paused, .end.waiting, .end.stopped { fill: var(--q2); }
.curve.failed { stroke: var(--bad); opacity: .8; stroke-dasharray: 3 3; } .end { stroke: none; fill: var(--q3); }
.end.failed { fill: var(--bad); }
.curve.best { stroke: var(--best); stroke-width: 2.6; opacity: 1; }
.thread { opacity: .6; } .thread.q4 { opacity: .9; } .thread.best { stroke-width: 2.6; opacity: 1; }
rect.kept { fill: var(--q2); opacity: .16; } line.kept { stroke: var(--ink); stroke-width: 4; opacity: .55; }
.row { stroke: var(--hair); } .stretch { fill: none; stroke-width: 8; } .stretch.given { stroke-width: 3; opacity: .7; }
.arrow { fill: none; stroke: var(--ink); stroke-width: 1.3; opacity: .75; } .head { fill: var(--ink); }
svg.lineage path.stretch.on { stroke-width: 10; } .knobs i { border-top-width: 8px !important; }
.bridge { stroke-dasharray: 2 4; }
.front { stroke: var(--best); stroke-dasharray: 4 4; }
.dot { stroke: var(--card); stroke-width: .6; } .dot.paused, .dot.waiting, .dot.stopped { opacity: .65; }
.dot.failed { opacity: .4; }
.thread.q0 { stroke: var(--q0); } .thread.q1 { stroke: var(--q1); } .thread.q2 { stroke: var(--q2); }
.thread.q3 { stroke: var(--q3); } .thread.q4 { stroke: var(--q4); } .thread.best { stroke: var(--best); }
.dot.q0 { fill: var(--q0); } .dot.q1 { fill: var(--q1); } .dot.q2 { fill: var(--q2); } .dot.q3 { fill: var(--q3); }
.dot.q4 { fill: var(--q4); } .dot.best { fill: var(--best); }
svg.has-on [data-t]:not(.on) { opacity: .12; }
svg .on { opacity: 1 !important; } svg polyline.on, svg path.on { stroke-width: 3; stroke: var(--ink); }
svg circle.on { stroke: var(--ink); stroke-width: 2; }
svg polyline.best.on, svg path.best.on { stroke: var(--best); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; margin: 6px 0 10px; color: var(--quiet); }
.legend label { cursor: pointer; white-space: nowrap; }
.legend input { accent-color: var(--link); margin: 0 4px 0 0; }
.legend i { display: inline-block; width: 20px; height: 0; border-top: 2px solid; vertical-align: middle;
  margin-right: 6px; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); gap: 16px; }
.slices figure { margin: 0; min-width: 0; }
.slices h3 { font-size: 14px; margin: 0 0 4px; font-weight: 600; overflow-wrap: anywhere; }
.slices h3 small { color: var(--quiet); font-weight: 400; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--quiet); font-weight: 500; font-size: 12px; white-space: nowrap;
  vertical-align: bottom; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--hair); vertical-align: top; }
td.num, th.num { text-align: right; white-space: nowrap; }
td.word { white-space: nowrap; }
td.mono { min-width: 260px; overflow-wrap: anywhere; }
tbody tr:hover, tr.on { background: var(--soft); } tr.first td { font-weight: 600; }
tr.first td.mono { font-weight: 400; }
tr.first .num.value { color: var(--best); } .quiet { color: var(--quiet); } .failed-word { color: var(--bad); }
th[data-sort] { cursor: pointer; } th[data-sort]:hover { color: var(--ink); }
.bars { display: grid; grid-template-columns: minmax(110px, max-content) minmax(120px, 1fr) max-content;
  gap: 6px 14px;
  align-items: center; font-size: 14px; margin: 10px 0; }
.bars .head { color: var(--quiet); font-size: 12px; }
.bar { height: 14px; background: var(--soft); border-radius: 3px; position: relative; }
.bar i { display: block; height: 100%; background: var(--q3); border-radius: 3px; min-width: 2px; }
.bar.tier1 i { background: var(--q4); } .bar.tier3 i { background: var(--q2); }
.bar.tier0 i { background: var(--axis); }
.bars .what { overflow-wrap: anywhere; } .bars small { color: var(--quiet); }
.bars .pair { display: flex; align-items: center; gap: 8px; } .bars .pair .bar { flex: 1; }
.bars .pair span { min-width: 44px; text-align: right; font-variant-numeric: tabular-nums; }
details > summary { cursor: pointer; color: var(--link); margin: 8px 0; font-size: 14px; }
#tip { position: fixed; z-index: 9; pointer-events: none; max-width: min(360px, 90vw); background: var(--card);
  color: var(--ink);
  border: 1px solid var(--axis); border-radius: 6px; padding: 6px 10px; font-size: 13px;
  box-shadow: 0 4px 18px #0003; }
#tip[hidden] { display: none; } #tip b { display: block; } #tip .mono { display: block; overflow-wrap: anywhere; }
footer { margin-top: 48px; color: var(--quiet); font-size: 13px; border-top: 1px solid var(--hair);
  padding-top: 12px; }
@media (max-width: 640px) {
  main { padding: 20px 14px 48px; } .hero { grid-template-columns: 1fr; } .card { padding: 14px; }
  td.mono { min-width: 480px; }
  .bars { grid-template-columns: minmax(90px, 38%) 1fr; } .bars .tier { display: none; }
}
@media print {
  :root { --paper: #fff; --card: #fff; } body { font-size: 11px; } main { max-width: none; padding: 0; }
  .card, .slices figure, tr { break-inside: avoid; } .legend input, #tip { display: none; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } svg.wide { min-width: 0; }
}
"""
_PARTS = ("finished", "running", "waiting", "paused", "stopped", "failed")
STYLE += "".join(
    f'.curves:has(#show-{part}:not(:checked)) svg .{part} {{ display: none; }}\n' for part in _PARTS
)  # fmt: skip
