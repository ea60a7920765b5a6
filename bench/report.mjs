// The tables and the plot of a run.
import { CASES } from './cases.mjs'

const REFERENCE = 'squid'
/** Whose figures the targets are about. */
const SUBJECT = 'sallyport-kernel-24'
const PORTABLE = 'sallyport-portable-24'
const PIPE = 'pipe-24'
const TITLE_OF_DIRECT = 'direct, no proxy'

const sorted = (values) => values.toSorted((a, b) => a - b)
const median = (values) => sorted(values)[values.length >> 1]

const fixed = (value, digits = 0) => value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

function spread(values, digits) {
  const all = sorted(values)
  return `${fixed(median(values), digits)} (${fixed(all[0], digits)} to ${fixed(all.at(-1), digits)})`
}

/** Within each round, then the middle one. */
function ratioOf(values, references) {
  if (values === undefined || references === undefined) return undefined
  const ratios = values.map((value, i) => value / references[i]).filter(Number.isFinite)
  return ratios.length === 0 ? undefined : median(ratios)
}

const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

function caseTable(one, byPeer, titles) {
  const references = byPeer.get(REFERENCE)?.map(({ value }) => value)
  const hasRate = [...byPeer.values()].some((found) => found[0]?.rate !== undefined)
  const head = [
    '',
    one.unit,
    ...(one.perSecond ? [`${one.perSecond} per CPU second`] : []),
    'times Squid',
    ...(hasRate ? ['MB/s'] : []),
  ]
  const rows = [...byPeer].map(([name, found]) => {
    const values = found.map(({ value }) => value)
    const isDirect = name === 'direct'
    return [
      titles.get(name),
      isDirect ? '' : spread(values, one.digits),
      ...(one.perSecond ? [fixed(1e6 / median(values))] : []),
      isDirect ? '' : (ratioOf(values, references)?.toFixed(2) ?? ''),
      ...(hasRate ? [fixed(median(found.map(({ rate }) => rate)))] : []),
    ]
  })
  return `### ${one.title}\n\n${table(head, rows)}\n`
}

/** The portable relay over plain `pipe`: the worst of the figures that both have of moving bytes. */
function worstOverPipe(results) {
  const ratios = CASES.filter(({ unit }) => unit === 'CPU ms per GB').flatMap(({ id }) => {
    const valuesOf = (name) =>
      results
        .get(id)
        ?.get(name)
        ?.map(({ value }) => value)
    return ratioOf(valuesOf(PORTABLE), valuesOf(PIPE)) ?? []
  })
  return ratios.length === 0 ? undefined : Math.max(...ratios)
}

function targets({ results, memory, workers, rateRatio }) {
  const ratio = (id, name = SUBJECT, reference = REFERENCE) =>
    ratioOf(
      results
        .get(id)
        ?.get(name)
        ?.map(({ value }) => value),
      results
        .get(id)
        ?.get(reference)
        ?.map(({ value }) => value),
    )
  const memoryRatio = ratioOf(memory.get(SUBJECT)?.bytes, memory.get(REFERENCE)?.bytes)
  const denied = ratio('denied')
  const rows = [
    ['CPU of a set-up, times Squid', 0.75, ratio('setup'), 'most'],
    ['CPU of bulk (4 tunnels down), times Squid', 0.35, ratio('down-4'), 'most'],
    ['wall throughput of bulk (4 tunnels down), times direct', 0.75, rateRatio, 'least'],
    ['memory of an idle tunnel, times Squid', 0.25, memoryRatio, 'most'],
    ['denied requests per CPU second, times Squid', 2, denied === undefined ? undefined : 1 / denied, 'least'],
    [
      'two workers: CPU of a set-up, times one worker',
      1.15,
      workers.length === 0 ? undefined : median(workers.map(({ one, two }) => two / one)),
      'most',
    ],
    [
      'two workers: the smaller share of the work',
      0.35,
      workers.length === 0 ? undefined : median(workers.map(({ shares }) => Math.min(...shares))),
      'least',
    ],
    ['portable relay: CPU of bulk, times plain `pipe`, the worst case', 1, worstOverPipe(results), 'most'],
    [
      'portable relay: memory of an idle tunnel, times plain `pipe`',
      1,
      ratioOf(memory.get(PORTABLE)?.bytes, memory.get(PIPE)?.bytes),
      'most',
    ],
    [
      'portable relay: CPU of a set-up, times plain `pipe`, which decides and records nothing',
      1,
      ratio('setup', PORTABLE, PIPE),
      'most',
    ],
  ]
  return table(
    ['target (Node 24, kernel relay, everything on)', 'wanted', 'measured', ''],
    rows.map(([what, wanted, measured, which]) => {
      if (measured === undefined) return [what, `at ${which} ${wanted}`, 'not measured', '']
      const met = which === 'most' ? measured <= wanted : measured >= wanted
      return [what, `at ${which} ${wanted}`, measured.toFixed(2), met ? 'met' : 'missed']
    }),
  )
}

function workersTable(workers) {
  const of = (pick, digits) => spread(workers.map(pick), digits)
  return [
    '### Two workers beside one',
    'Set-ups, all processes counted; nobody is pinned, so these are not the figures of the first table.',
    table(
      ['', 'CPU µs a set-up', 'the smaller share of the work'],
      [
        ['one worker', of(({ one }) => one, 0), ''],
        ['two workers', of(({ two }) => two, 0), of(({ shares }) => Math.min(...shares), 2)],
      ],
    ),
  ]
}

export function writeReport(report) {
  const { facts, proxies, results, latency, memory, workers, decisions, left, notes } = report
  const titles = new Map([...proxies.map(({ peer }) => [peer.name, peer.title]), ['direct', TITLE_OF_DIRECT]])
  const rates = (name) =>
    results
      .get('down-4')
      ?.get(name)
      ?.map(({ rate }) => rate)
  const summary = targets({ results, memory, workers, rateRatio: ratioOf(rates(SUBJECT), rates('direct')) })
  const memoryReference = memory.get(REFERENCE)?.bytes
  const parts = [
    '# Benchmarks',
    'Written by `npm run bench`; do not edit. How it is measured stands below the figures.',
    '![Set-up, bulk and memory beside the peers](benchmarks.svg)',
    '## Targets',
    summary,
    ...(notes === undefined ? [] : [notes]),
    '## Figures',
    `Middle of ${facts.rounds} rounds, lowest and highest in brackets. "Times Squid" is the middle of the ratios within each round.`,
    ...CASES.filter(({ id }) => results.get(id).size > 0).map((one) => caseTable(one, results.get(one.id), titles)),
    '### Added latency at half load',
    "Set-ups at half the rate that each proxy's core can do, timed from their intended start.",
    table(
      ['', 'set-ups a second', 'p50 ms', 'p99 ms'],
      [...latency].map(([name, found]) => [
        titles.get(name),
        fixed(found[0].rate),
        (median(found.map(({ p50Us }) => p50Us)) / 1000).toFixed(2),
        (median(found.map(({ p99Us }) => p99Us)) / 1000).toFixed(2),
      ]),
    ),
    '### Memory of an idle tunnel',
    'Resident memory (its share of what processes have in common) of a fresh process, before and after.',
    table(
      ['', 'tunnels', 'bytes a tunnel', 'times Squid'],
      [...memory].map(([name, { tunnels, bytes }]) => [
        titles.get(name),
        fixed(tunnels),
        spread(bytes, 0),
        ratioOf(bytes, memoryReference)?.toFixed(2) ?? '',
      ]),
    ),
    ...(workers.length === 0 ? [] : workersTable(workers)),
    ...(decisions === '' ? [] : ['### A decision over the size of the policy', `\`\`\`text\n${decisions.trimEnd()}\n\`\`\``]),
    '## How it is measured',
    method(facts),
    '## Who was compared',
    table(
      ['', 'version', 'what is not listed', 'logs'],
      proxies.map(({ peer, version, denies }) => [peer.title, version ?? facts.version, denies, peer.log]),
    ),
    ...(left.length === 0 ? [] : ['Left out:', left.map((text) => `* ${text}`).join('\n')]),
  ]
  return { markdown: `${parts.join('\n\n')}\n`, svg: plot(results, memory, titles), summary }
}

function method({ cpu, kernel, cores, memoryGb, shared, rounds, quick, nodes, seconds }) {
  const lines = [
    `${cores} cores of ${cpu}, ${memoryGb} GB, Linux ${kernel}, loopback; Node ${nodes.join(' and ')}. ${rounds} rounds${quick ? ' (`--quick`)' : ''}, ${seconds} seconds.`,
    "The proxy has one core for itself, load and origin share the other; both are one small C program. What is compared is the processor time of all of a proxy's threads and processes (`utime` and `stime` of `/proc/PID/stat`), so that the generator's does not count. Every case is run for every proxy in turn, round after round; the first round is thrown away.",
    'Each proxy has the same allowlist: the origin, 100 names and 20 suffixes (Sallyport has the documented Azure hosts besides). Before anything is timed each is asked for a host that is not on it. Sallyport runs with everything on.',
  ]
  if (shared > 0.5)
    lines.push(
      `The machine was shared: its load average was ${shared.toFixed(1)} before the run. Single figures are worth less for it; compare ratios.`,
    )
  return lines.join('\n\n')
}

const PLOTTED = ['setup', 'denied', 'down-4']
const COLOURS = { subject: '#1f6feb', own: '#8db9f5', peer: '#9a9a9a' }

/** Bars, a group for each case, as parts of Squid's figure. */
function plot(results, memory, titles) {
  const groups = [
    ...CASES.filter(({ id }) => PLOTTED.includes(id)).map((one) => ({
      title: `${one.title.split(':')[0]} (${one.unit})`,
      values: [...results.get(one.id)]
        .filter(([name]) => name !== 'direct')
        .map(([name, found]) => [name, median(found.map(({ value }) => value))]),
    })),
    { title: 'Memory of an idle tunnel (KB)', values: [...memory].map(([name, { bytes }]) => [name, median(bytes) / 1000]) },
  ].filter(({ values }) => values.length > 0)
  const rowHeight = 20
  const labelWidth = 290
  const barWidth = 420
  let y = 10
  const parts = []
  for (const { title, values } of groups) {
    y += 22
    parts.push(`<text x="10" y="${y}" font-weight="bold">${xml(title)}</text>`)
    y += 8
    const most = Math.max(...values.map(([, value]) => value))
    for (const [name, value] of values) {
      const width = Math.max(1, (value / most) * barWidth)
      const colour = name === SUBJECT ? COLOURS.subject : name.startsWith('sallyport') ? COLOURS.own : COLOURS.peer
      parts.push(
        `<text x="${labelWidth - 8}" y="${y + 14}" text-anchor="end">${xml(titles.get(name))}</text>`,
        `<rect x="${labelWidth}" y="${y + 3}" width="${width.toFixed(1)}" height="14" fill="${colour}"/>`,
        `<text x="${(labelWidth + width + 6).toFixed(1)}" y="${y + 14}">${fixed(value, value < 10 ? 1 : 0)}</text>`,
      )
      y += rowHeight
    }
    y += 12
  }
  const width = labelWidth + barWidth + 80
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y}" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">
<title>Sallyport beside its peers: set-up, bulk and memory</title>
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`
}

function xml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('`', '')
}
