//! The page's style sheet. Every colour is a variable, with a second value for dark screens; paper is light.

/// No `<`, `>` or `&`, so that the page is XML too.
pub(in crate::report) const STYLE: &str = "
:root{--paper:#fff;--ink:#1c1b19;--soft:#5f5c57;--rule:#dcd9d3;--wash:#f5f3ef;--null:#8d8a84;
--mid:#f4f2ee;--less:#0b5394;--more:#c2410c;--hatch:#1c1b19;
--s0:#0072b2;--s1:#c75000;--s2:#00805f;--s3:#a8477f;--s4:#7a6a00;--s5:#4a8fbf;--grey:#85827c;
--good:#00694f;--bad:#a63d00;color-scheme:light dark}
@media screen and (prefers-color-scheme:dark){:root{--paper:#17181a;--ink:#eae7e1;--soft:#aba79f;--rule:#3a3b3e;--wash:#212326;
--null:#8f8c86;--mid:#292b2e;--less:#5db2f0;--more:#ff8a4c;--hatch:#f2efe9;
--s0:#5db2f0;--s1:#f59a56;--s2:#3cc79f;--s3:#e08fbd;--s4:#cfbd4a;--s5:#a5d2ef;--grey:#96938d;--good:#4fd0a8;--bad:#ff9b66}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:1020px;padding:28px 20px 60px;background:var(--paper);color:var(--ink);
font:16px/1.5 Charter,'Bitstream Charter','Source Serif 4',Cambria,Georgia,'Liberation Serif',serif}
h1{font-size:1.75rem;line-height:1.2;margin:.1em 0 .25em;font-weight:600;letter-spacing:-.01em;text-wrap:balance}
h2{font-size:1.2rem;line-height:1.3;margin:2.4em 0 .6em;font-weight:600;border-top:1px solid var(--rule);padding-top:.7em}
h3{font-size:1rem;line-height:1.3;margin:1.8em 0 .1em;font-weight:600}
p{margin:.5em 0}
figcaption{max-width:72ch}
.lead{max-width:84ch}
.kicker,.model,table,svg,.of,.answer,.detail,.number,.unit,summary,.note{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,'Liberation Sans',sans-serif}
.kicker{margin:0;font-size:.78rem;letter-spacing:.08em;text-transform:uppercase;color:var(--soft)}
.model{margin:0;font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}
.mono{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'Liberation Mono',monospace;font-size:.92em}
.lead{font-size:1.1rem;margin:.8em 0 1em}
.lead+.lead{margin-top:-.4em}
.evidence{color:var(--soft);white-space:normal}
.visually-hidden{position:absolute;width:1px;height:1px;margin:-1px;padding:0;border:0;overflow:hidden;clip-path:inset(50%)}
.verdict{border-top:3px solid var(--soft);background:var(--wash);padding:10px 16px 6px;margin:14px 0;break-inside:avoid;page-break-inside:avoid}
.verdict.internal{border-color:var(--good)}
.verdict.superficial{border-color:var(--bad)}
.verdict h3{margin:0 0 .2em;font-size:1.3rem;font-weight:600;display:flex;flex-wrap:wrap;align-items:baseline;column-gap:12px}
.verdict.internal .kind{color:var(--good)}
.verdict.superficial .kind{color:var(--bad)}
.kind::first-letter{text-transform:uppercase}
.kind{display:inline-block}
.of{font-size:.85rem;font-weight:400;color:var(--soft)}
.checks{list-style:none;margin:0;padding:0}
.checks li{display:grid;grid-template-columns:58px 1fr 190px 170px;column-gap:14px;align-items:center;border-top:1px solid var(--rule);padding:5px 0}
.answer{font-size:.85rem;font-weight:600}
.answer.yes{color:var(--good)}
.answer.no{color:var(--bad)}
.answer.none{color:var(--soft);font-weight:400}
.question{display:block;line-height:1.3}
.detail{display:block;font-size:.76rem;line-height:1.35;color:var(--soft)}
.number{font-size:.85rem;font-variant-numeric:tabular-nums;line-height:1.3}
.number .unit{display:block;font-size:.76rem}
.unit{color:var(--soft)}
.note{font-size:.85rem;color:var(--bad)}
figure{margin:0 0 1.6em}
.side{display:flex;flex-wrap:wrap;gap:14px 40px;align-items:flex-start}
.side .panels{flex:0 1 auto;min-width:0}
.side .panels.one{flex:1 1 380px;max-width:470px}
.side .beside{flex:1 1 300px;min-width:0}
figcaption{font-size:.9rem;line-height:1.45;color:var(--soft);margin-top:.5em}
.panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:26px 40px}
.panels figcaption{margin:0;align-self:center}
.panels.maps{display:flex;flex-wrap:wrap;gap:18px 34px;overflow-x:auto}
svg{display:block;overflow:visible;break-inside:avoid;page-break-inside:avoid}
svg.chart{width:100%;max-width:450px;height:auto}
svg.map{flex:none}
svg.chart.wide{max-width:820px;min-width:640px}
.scroll{overflow-x:auto}
.colours .unit{font-size:.78rem;margin:.4em 0 .2em}
svg text{font-size:12px;fill:var(--ink)}
svg .tick,svg .name,svg .hint{fill:var(--soft)}
svg .tick{font-variant-numeric:tabular-nums}
svg .head{font-weight:600;font-size:13px}
.grid{stroke:var(--rule);stroke-width:.7}
.axis{stroke:var(--soft);stroke-width:.8}
.reference{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.scale{stroke:var(--soft);stroke-width:1;stroke-dasharray:1 3}
.null{fill:var(--null);fill-opacity:.28}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.thin{fill:none;stroke-width:.9;stroke-opacity:.6;stroke-linejoin:round}
.bar{stroke-width:1.5;stroke-opacity:.75}
.spread{stroke-width:1.2;stroke-opacity:.3}
.spread.s0{stroke:var(--s0)}.spread.s1{stroke:var(--s1)}.spread.s2{stroke:var(--s2)}.spread.grey{stroke:var(--grey)}
svg .strong{font-weight:600}
.band{fill-opacity:.15}
.dot{stroke:var(--paper);stroke-width:.6}
.dot.plain{stroke:none}
.cloud{fill-opacity:.55;stroke:none}
.pillar.s0{fill:var(--s0)}.pillar.s1{fill:var(--s1)}.pillar.s2{fill:var(--s2)}.pillar.ink{fill:var(--ink)}
.line.s0,.thin.s0,.bar.s0{stroke:var(--s0)}.dot.s0,.band.s0{fill:var(--s0)}
.line.s1,.thin.s1,.bar.s1{stroke:var(--s1)}.dot.s1,.band.s1{fill:var(--s1)}
.line.s2,.thin.s2,.bar.s2{stroke:var(--s2)}.dot.s2,.band.s2{fill:var(--s2)}
.line.s3,.thin.s3,.bar.s3{stroke:var(--s3)}.dot.s3,.band.s3{fill:var(--s3)}
.line.s4,.thin.s4,.bar.s4{stroke:var(--s4)}.dot.s4,.band.s4{fill:var(--s4)}
.line.s5,.thin.s5,.bar.s5{stroke:var(--s5)}.dot.s5,.band.s5{fill:var(--s5)}
.line.grey,.thin.grey,.bar.grey{stroke:var(--grey)}.dot.grey,.band.grey{fill:var(--grey)}
.line.ink,.thin.ink,.bar.ink{stroke:var(--ink)}.dot.ink,.band.ink{fill:var(--ink)}
.mid{fill:var(--mid)}.less{fill:var(--less)}.more{fill:var(--more)}
.stroke{stroke:var(--hatch);stroke-width:1.1;stroke-opacity:.5}
.stop-less{stop-color:var(--less)}.stop-more{stop-color:var(--more)}
table{border-collapse:collapse;font-size:.82rem;font-variant-numeric:tabular-nums;line-height:1.35}
caption{text-align:left;color:var(--soft);padding:.4em 0;max-width:min(72ch,88vw)}
th,td{text-align:right;padding:3px 0 3px 18px;border-bottom:1px solid var(--rule);white-space:nowrap;font-weight:400;vertical-align:top}
thead th{color:var(--soft);vertical-align:bottom;white-space:normal;max-width:9em}
th:first-child{text-align:left;padding-left:0}
tr.part th{font-weight:600;padding-top:.9em}
td small{color:var(--soft);font-size:.92em}
table.plain td,table.plain th{text-align:left}
table.hashes{width:100%}
table.hashes td{white-space:normal;overflow-wrap:anywhere;min-width:14em}
.prose{columns:25rem 2;column-gap:44px}
.prose p:first-child{margin-top:0}
.prose p,.prose li{break-inside:avoid}
.prose ol,.prose ul{padding-left:1.3em;margin:.4em 0}
.prose li{margin:.25em 0}
details{margin:.4em 0}
summary{cursor:pointer;font-size:.85rem;color:var(--soft)}
@media screen and (max-width:760px){body{padding:18px 14px 40px}h1{font-size:1.45rem}.lead{font-size:1.02rem}
.verdict{padding:8px 12px 4px}
.checks li{grid-template-columns:52px 1fr;row-gap:4px;align-items:start;padding:7px 0}.checks .number,.checks .plot{grid-column:2}}
@media print{body{max-width:none;padding:0;font-size:10.5pt}h2,h3,caption{break-after:avoid;page-break-after:avoid}
figcaption,caption,tr{break-inside:avoid;page-break-inside:avoid}figcaption{break-before:avoid}
.scroll,.panels.maps{overflow:visible}table{font-size:7.5pt}th,td{padding-left:9px}
svg,.verdict{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.panels{grid-template-columns:1fr 1fr;gap:16px 24px}.panels.one{grid-template-columns:1fr}.beside,.prose li{break-inside:avoid;page-break-inside:avoid}
.verdict{break-inside:auto;page-break-inside:auto}.verdict h3{break-after:avoid;page-break-after:avoid}
.checks li{grid-template-columns:54px 1fr 150px 170px;column-gap:10px;break-inside:avoid;page-break-inside:avoid}
h2+p{break-after:avoid;page-break-after:avoid}thead{break-inside:avoid;break-after:avoid}details{display:none}}
";
