"""What the page can do beyond being read: a trial that is pointed at is shown in every picture, and tables sort."""

SCRIPT = """
(() => {
  const trials = JSON.parse(document.getElementById('trials').textContent);
  const tip = document.getElementById('tip');
  const pictures = [...document.querySelectorAll('svg.chart')];
  const near = 26;
  let shown = null;

  const places = svg => svg.places ??= [...svg.querySelectorAll('[data-t]')].flatMap(mark => {
    const t = mark.dataset.t;
    if (mark.tagName === 'circle') return [[+mark.getAttribute('cx'), +mark.getAttribute('cy'), t, mark]];
    const text = mark.getAttribute('points') || mark.getAttribute('d') || '';
    const numbers = (text.match(/-?[0-9.]+/g) || []).map(Number);
    const found = [];
    for (let k = 0; k + 1 < numbers.length; k += 2) found.push([numbers[k], numbers[k + 1], t, mark]);
    const between = [];
    for (let k = 0; k + 1 < found.length; k++)
      for (const s of [.25, .5, .75])
        between.push([found[k][0] + s * (found[k + 1][0] - found[k][0]),
          found[k][1] + s * (found[k + 1][1] - found[k][1]), t, mark]);
    return found.concat(between);
  });

  function show(t) {
    if (t === shown) return;
    document.querySelectorAll('.on').forEach(one => one.classList.remove('on'));
    shown = t;
    for (const svg of pictures) {
      const marks = t === null ? [] : svg.querySelectorAll(`[data-t="${t}"]`);
      marks.forEach(mark => mark.classList.add('on'));
      svg.classList.toggle('has-on', marks.length > 0);
    }
    if (t !== null) document.querySelectorAll(`tr[data-t="${t}"]`).forEach(row => row.classList.add('on'));
  }

  function tell(t, event) {
    const known = trials[t];
    if (t === null || !known) { tip.hidden = true; return; }
    tip.replaceChildren();
    const head = document.createElement('b');
    head.textContent = `trial ${t}: ${known[0]}`;
    const setting = document.createElement('span');
    setting.className = 'mono';
    setting.textContent = known[1];
    tip.append(head, setting);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8)) + 'px';
    tip.style.top = (event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12
      : event.clientY + 18) + 'px';
  }

  for (const svg of pictures) {
    svg.querySelectorAll('[data-t] > title').forEach(title => title.remove());
    svg.addEventListener('pointermove', event => {
      const matrix = svg.getScreenCTM();
      if (!matrix) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      let best = null, least = near * near;
      for (const [x, y, t, mark] of places(svg)) {
        const far = (x - at.x) ** 2 + (y - at.y) ** 2;
        if (far < least && getComputedStyle(mark).display !== 'none') { least = far; best = t; }
      }
      show(best);
      tell(best, event);
    });
    svg.addEventListener('pointerleave', () => { show(null); tip.hidden = true; });
  }
  document.querySelectorAll('tr[data-t]').forEach(row => {
    row.addEventListener('pointerenter', () => show(row.dataset.t));
    row.addEventListener('pointerleave', () => show(null));
  });

  document.querySelectorAll('th[data-sort]').forEach(head => head.addEventListener('click', () => {
    const table = head.closest('table'), column = [...head.parentNode.children].indexOf(head);
    const up = head.dataset.sort !== 'up';
    table.querySelectorAll('th[data-sort]').forEach(one => { one.dataset.sort = ''; });
    head.dataset.sort = up ? 'up' : 'down';
    const value = row => row.children[column].dataset.v ?? row.children[column].textContent;
    const compare = (a, b) => {
      const x = value(a), y = value(b), numbers = x !== '' && y !== '' && !isNaN(x) && !isNaN(y);
      return (numbers ? x - y : x.localeCompare(y)) * (up ? 1 : -1);
    };
    for (const body of table.tBodies) body.append(...[...body.rows].sort(compare));
  }));
})();
"""
