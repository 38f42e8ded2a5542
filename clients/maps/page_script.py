"""What the page of a map does: choose a query, fade, say the score under the pointer."""

SCRIPT = """
const scores = [...document.querySelectorAll('img.score')], legends = [...document.querySelectorAll('.legend')];
const marks = [...document.querySelectorAll('.marks')], fade = document.getElementById('fade');
const map = document.querySelector('.map'), here = document.getElementById('here');

function show() {
  facts.query = Number(document.querySelector('input[name=query]:checked').value);
  for (const group of [scores, legends, marks])
    group.forEach((element, index) => { element.toggleAttribute('hidden', index !== facts.query); });
  scores.forEach(image => { image.style.opacity = fade.value / 100; });
}

// The pixels of a picture as the browser decoded them.
function pixels(image) {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

const name = (data, at) => data[at] << 16 | data[at + 1] << 8 | data[at + 2];
const levels = new Map(), decoded = [];

// A colour says which score it stands for: the legend's picture holds them all, from low to high.
function score(across, down) {
  if (!levels.size) {
    const ramp = pixels(document.querySelector('img.ramp')).data;
    for (let level = 0; level < 256; level++) levels.set(name(ramp, 4 * level), level / 255);
  }
  const { data, width, height } = decoded[facts.query] ??= pixels(scores[facts.query]);
  const at = 4 * (Math.floor(down * height) * width + Math.floor(across * width));
  if (data[at + 3] === 0) return 'no score';
  const { low, high } = legends[facts.query].dataset, level = levels.get(name(data, at));
  const sign = level === 0 ? '≤ ' : level === 1 ? '≥ ' : '';
  return sign + (Number(low) + level * (Number(high) - Number(low))).toFixed(3);
}

function point(event) {
  const box = map.getBoundingClientRect();
  const across = (event.clientX - box.left) / box.width, down = (event.clientY - box.top) / box.height;
  if (across < 0 || down < 0 || across >= 1 || down >= 1) return;
  const [a, b, c, d] = facts.corners;
  const [longitude, latitude] = [0, 1].map(axis =>
    (1 - down) * ((1 - across) * a[axis] + across * b[axis]) + down * ((1 - across) * c[axis] + across * d[axis]));
  here.textContent = `${score(across, down)} at ${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
}

document.querySelectorAll('input').forEach(input => input.addEventListener('input', show));
map.addEventListener('pointermove', point);
map.addEventListener('pointerleave', () => { here.textContent = 'point at the map'; });
show();
"""
