// Makes the page live: times become distances, what has changed is replaced, a log grows. Everything works without it.
'use strict'
const every = (ms, work) => { const again = async () => { setTimeout(again, document.hidden ? 1000 : await work() || ms) }; setTimeout(again, ms) }
const said = seconds => seconds < 10 ? Math.max(0, seconds).toFixed(1) + 's' : seconds < 60 ? Math.floor(seconds) + 's'
  : seconds < 3600 ? Math.floor(seconds / 60) + 'm' + String(Math.floor(seconds % 60)).padStart(2, '0') + 's'
  : seconds < 86400 ? Math.floor(seconds / 3600) + 'h' + String(Math.floor(seconds / 60 % 60)).padStart(2, '0') + 'm'
  : Math.floor(seconds / 86400) + 'd ' + Math.floor(seconds / 3600 % 24) + 'h'
const distance = seconds => {
  const s = Math.abs(seconds), n = Math.floor
  if (s < 2) return 'just now'
  const length = s < 60 ? n(s) + ' s' : s < 3600 ? n(s / 60) + ' min' : s < 86400 ? n(s / 3600) + ' h' : n(s / 86400) + (s < 172800 ? ' day' : ' days')
  return seconds < 0 ? 'in ' + length : length + ' ago'
}
// The server's clock counts: what is told in ago must not depend on that of the reader.
let ahead = 0
const now = () => Date.now() - ahead
const clock = response => { const date = Date.parse(response.headers.get('date')); if (date) { const off = Date.now() - date; if (Math.abs(off - ahead) > 2000) ahead = off } }

function tell(root) {
  for (const time of root.querySelectorAll('time[datetime]')) {
    time.title ||= time.textContent
    const seconds = (now() - Date.parse(time.dateTime)) / 1000
    const text = time.dataset.as === 'for' ? said(seconds) : distance(seconds)
    if (time.textContent !== text) time.textContent = text
  }
  for (const bar of root.querySelectorAll('progress[data-since]')) {
    const seconds = (now() - Date.parse(bar.dataset.since)) / 1000
    bar.value = Math.min(seconds, bar.max)
    bar.closest('li, .run')?.classList.toggle('late', seconds > bar.max)
  }
}

const sections = root => new Map([...root.querySelectorAll('[data-part]')].map(part => [part.dataset.part, part]))
const original = new Map([...sections(document)].map(([name, part]) => [name, part.outerHTML]))
let tag = null, patience = 2000

async function look() {
  try {
    const response = await fetch(location.href, { cache: 'no-cache' })
    clock(response)
    if (!response.ok && response.status !== 404) throw new Error(response.status)
    patience = 2000
    if (tag === response.headers.get('etag')) return patience
    tag = response.headers.get('etag')
    replace(new DOMParser().parseFromString(await response.text(), 'text/html'))
  } catch { patience = Math.min(patience * 2, 30000) }
  return patience
}

function replace(fresh) {
  // One short line is read out; everything else is there to be read.
  if (document.title !== fresh.title) document.querySelector('#news').textContent = document.title = fresh.title
  const icon = document.querySelector('link[rel=icon]'), other = fresh.querySelector('link[rel=icon]')
  if (icon && other && icon.getAttribute('href') !== other.getAttribute('href')) icon.href = other.getAttribute('href')
  const here = sections(document)
  for (const [name, part] of sections(fresh)) {
    const old = here.get(name)
    if (!old || original.get(name) === part.outerHTML) continue
    // A log that grows is not replaced before it is over.
    if (name === 'log' && part.dataset.live && old.dataset.live) continue
    original.set(name, part.outerHTML)
    const href = old.contains(document.activeElement) && document.activeElement.getAttribute('href')
    const adopted = document.adoptNode(part)
    tell(adopted)
    old.replaceWith(adopted)
    if (href) [...adopted.querySelectorAll('a')].find(a => a.getAttribute('href') === href)?.focus()
    if (name === 'log') follow()
  }
}

// The same as the server does to what it shows: see ansi.rs.
class Painter {
  constructor(pre) { this.pre = pre; this.text = new TextDecoder(); this.look = {}; this.rest = ''; this.line = null; this.open() }
  open() { this.line = document.createElement('span'); this.line.className = 'l'; this.parts = []; this.returned = false }
  draw() {
    this.line.replaceChildren(...this.parts.map(([classes, text]) => {
      if (!classes) return document.createTextNode(text)
      const span = document.createElement('span'); span.className = classes; span.textContent = text; return span
    }), '\n')
    if (!this.line.isConnected && this.parts.length) this.pre.append(this.line)
  }
  end() { this.draw(); if (!this.line.isConnected) this.pre.append(this.line); this.open(); while (this.pre.children.length > 5000) this.pre.firstChild.remove() }
  print(text) {
    if (this.returned) { this.parts = []; this.returned = false }
    text = text.replace(/[\u0080-\u009f\u2028\u2029\u061c\u200e\u200f\ufeff\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
    const l = this.look, classes = [l.f, l.b, l.bold && 'bold', l.dim && 'dim', l.it && 'it', l.ul && 'ul', l.inv && 'inv'].filter(Boolean).join(' ')
    const last = this.parts.at(-1)
    if (last && last[0] === classes) last[1] += text; else this.parts.push([classes, text])
  }
  write(bytes) {
    const text = this.rest + this.text.decode(bytes, { stream: true })
    const token = /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -\/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -\/]*[0-Z\\`-~]|\n|\r|[\x00-\x08\x0b-\x0c\x0e-\x1a\x1c-\x1f\x7f]|[^\x00-\x08\x0a-\x1f\x7f]+/y
    let at = 0
    for (let found; (token.lastIndex = at) < text.length && (found = token.exec(text)); at = token.lastIndex) {
      const one = found[0]
      if (one === '\n') this.end(); else if (one === '\r') this.returned = true
      else if (one[0] === '\x1b') { if (found[1] !== undefined) this.set(found[1]) } else if (one >= ' ' && one !== '\x7f' || one[0] === '\t') this.print(one)
    }
    this.rest = text.slice(at)
    // What is no sequence after all must not hold up what follows.
    if (this.rest.length > 4096) { this.rest = this.rest.slice(1); this.write(new Uint8Array()) }
    this.draw()
  }
  set(parameters) {
    const l = this.look, groups = parameters.split(';').map(group => group.split(':').map(Number))
    for (let at = 0; at < groups.length;) {
      const group = groups[at++], code = group[0] || 0
      if (code === 0) this.look = {}, Object.keys(l).forEach(key => delete l[key]), this.look = l
      else if (code === 1) l.bold = true; else if (code === 2) l.dim = true; else if (code === 3) l.it = true
      else if (code === 4) l.ul = group[1] !== 0; else if (code === 7) l.inv = true
      else if (code === 22) l.bold = l.dim = false; else if (code === 23) l.it = false; else if (code === 24) l.ul = false; else if (code === 27) l.inv = false
      else if (code === 38 || code === 48) {
        const colons = group.length > 1, rest = colons ? group.slice(1) : groups.slice(at).map(group => group[0])
        const [colour, taken] = extended(rest, colons)
        if (!colons) at += taken
        l[code === 38 ? 'f' : 'b'] = colour === null ? null : (code === 38 ? 'f' : 'b') + colour
      } else if (code === 39) l.f = null; else if (code === 49) l.b = null
      else if (code >= 30 && code <= 37) l.f = 'f' + (code - 30); else if (code >= 40 && code <= 47) l.b = 'b' + (code - 40)
      else if (code >= 90 && code <= 97) l.f = 'f' + (code - 82); else if (code >= 100 && code <= 107) l.b = 'b' + (code - 92)
    }
  }
}
const extended = (rest, colons) => rest[0] === 5 && rest.length > 1 ? [rest[1] < 256 ? of256(rest[1]) : null, 2]
  : rest[0] === 2 && colons && rest.length > 4 ? [nearest(rest[2], rest[3], rest[4]), 5]
  : rest[0] === 2 && rest.length > 3 ? [nearest(rest[1], rest[2], rest[3]), 4] : [null, rest.length]
const of256 = n => {
  if (n < 16) return n
  if (n > 231) { const grey = (n - 232) * 10 + 8; return nearest(grey, grey, grey) }
  const level = step => [0, 95, 135, 175, 215, 255][Math.floor(step) % 6]
  return nearest(level((n - 16) / 36), level((n - 16) / 6), level(n - 16))
}
const nearest = (r, g, b) => {
  const most = Math.max(r, g, b), least = Math.min(r, g, b)
  if (most - least < 32) return most < 48 ? 0 : most < 144 ? 8 : most < 224 ? 7 : 15
  const lit = channel => channel * 2 > most + least ? 1 : 0
  return (lit(r) | lit(g) << 1 | lit(b) << 2) + (most > 191 ? 8 : 0)
}

// Only what is new is fetched, behind some bytes that are known: if those differ, the file has shrunk and moved.
let following = 0
async function follow() {
  const mine = ++following, part = document.querySelector('[data-part=log][data-live]')
  if (!part) return
  const url = part.dataset.live, pre = part.querySelector('pre'), note = part.querySelector('[data-note]')
  let offset = Number(part.dataset.offset), known = new Uint8Array(), pause = 1000
  pre.replaceChildren()
  const painter = new Painter(pre)
  const equal = (a, b) => a.length >= b.length && b.every((byte, at) => a[at] === byte)
  while (mine === following && part.isConnected) {
    if (!document.hidden) {
      try {
        const from = offset - known.length
        const response = await fetch(url, { headers: { Range: `bytes=${from}-` }, cache: 'no-store' })
        clock(response)
        if (response.status === 206 || response.status === 200) {
          const bytes = new Uint8Array(await response.arrayBuffer())
          if (mine !== following) return
          if (equal(bytes, known)) {
            const fresh = bytes.slice(known.length)
            if (fresh.length) painter.write(fresh)
            pause = fresh.length ? 500 : Math.min(pause * 1.5, 4000)
            offset += fresh.length
            known = bytes.slice(-64)
          } else { shrunk() }
        } else if (response.status === 416) {
          const length = Number((response.headers.get('content-range') || '').split('/')[1])
          if (length < offset) { shrunk(length) } else pause = Math.min(pause * 1.5, 4000)
        }
      } catch { pause = Math.min(pause * 2, 30000) }
    }
    await new Promise(done => setTimeout(done, pause))
  }
  function shrunk(length) {
    note.textContent = 'The output has passed its limit: something is left out here.'
    offset = Math.max(0, (length ?? offset) - 65536); known = new Uint8Array(); pause = 200
    if (length === undefined) fetch(url, { method: 'HEAD' }).then(response => { offset = Math.max(0, Number(response.headers.get('content-length')) - 65536) })
  }
}

// On paper nobody knows when it was "5 min ago".
addEventListener('beforeprint', () => { for (const time of document.querySelectorAll('time[title]')) time.textContent = time.title })
addEventListener('afterprint', () => tell(document))

tell(document)
setInterval(() => { if (!document.hidden && !matchMedia('print').matches) tell(document) }, 1000)
every(2000, look)
follow()
