/* Quality against cost: one trace per method, one point per dataset. */
function drawPareto() {
  const x = by("pareto-x").value;
  const y = by("pareto-y").value;
  const traces = {};
  for (const point of data.pareto) {
    if (point[x] == null || point[y] == null) continue;
    const trace = (traces[point.method] ||= newTrace(point.method, x, y));
    trace.x.push(point[x]);
    trace.y.push(point[y]);
    trace.text.push(point.dataset);
  }
  Object.values(traces).forEach((trace, i) => { trace.marker.symbol = i % 12; });
  const axis = (title) => ({ title: { text: title }, gridcolor: ink("--line"), zeroline: false });
  const axes = { xaxis: { ...axis(x), type: "log" }, yaxis: axis(y) };
  Plotly.react("pareto-plot", Object.values(traces), layout(axes), { responsive: true });
}

function newTrace(name, x, y) {
  const numbers = "%{text}<br>" + x + ": %{x:.4g}<br>" + y + ": %{y:.4g}";
  return {
    x: [], y: [], text: [], name, mode: "markers", type: "scatter", marker: { size: 10 },
    hovertemplate: numbers + "<extra>%{fullData.name}</extra>",
  };
}

if (data.pareto.length) {
  options(by("pareto-x"), data.costs);
  options(by("pareto-y"), data.qualities);
  for (const id of ["pareto-x", "pareto-y"]) by(id).addEventListener("change", drawPareto);
  drawPareto();
} else {
  by("pareto").hidden = true;
}
