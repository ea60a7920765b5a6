import type { Sample } from '../support/prometheus.ts'

/**
 * Draws what Prometheus answered to each panel, in the places the panels have: for readers without a Grafana at hand. It is not
 * Grafana, and says so.
 */

export interface PanelResult {
  readonly type: string
  readonly title: string
  readonly unit: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly answers: readonly { readonly legend: string; readonly samples: readonly Sample[] }[]
}

const CELL = { width: 50, height: 30 } as const
const COLOURS = ['#3b82c4', '#d97706', '#2f9e62', '#c2410c', '#7c5cbf', '#0f8b8d', '#b0306a', '#6b7280'] as const
const HEADER = 44

export function drawDashboard(title: string, panels: readonly PanelResult[]): string {
  const drawn = panels.filter(({ type, answers }, index) =>
    type === 'row' ? (panels[index + 1]?.answers.length ?? 0) > 0 : answers.length > 0,
  )
  const rows = Math.max(...drawn.map(({ gridPos }) => gridPos.y + gridPos.h))
  const width = 24 * CELL.width
  const height = rows * CELL.height + HEADER
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<rect width="100%" height="100%" fill="#f4f5f6"/>',
    text(12, 20, title, 'font-size="16" font-weight="bold"'),
    text(
      12,
      37,
      'Drawn from what a real Prometheus answered to the queries of each panel during a test. This is not Grafana.',
      'fill="#555"',
    ),
    ...drawn.map(panel),
    '</svg>',
    '',
  ].join('\n')
}

function panel(result: PanelResult): string {
  const { x, y, w, h } = result.gridPos
  const box = { x: x * CELL.width + 3, y: y * CELL.height + HEADER + 3, width: w * CELL.width - 6, height: h * CELL.height - 6 }
  if (result.type === 'row') return text(box.x + 4, box.y + 17, result.title, 'font-weight="bold" font-size="13"')
  const content =
    result.type === 'timeseries' ? lines(result, box) : result.type === 'table' ? rowsOf(result, box) : figure(result, box)
  return [
    `<g><rect x="${box.x}" y="${box.y}" width="${box.width}" height="${box.height}" rx="3" fill="#fff" stroke="#ddd"/>`,
    text(box.x + 8, box.y + 17, result.title, 'font-weight="bold"'),
    ...content,
    '</g>',
  ].join('\n')
}

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

function figure({ answers, unit, title }: PanelResult, { x, y, width, height }: Box): string[] {
  const [first] = answers.flatMap(({ legend, samples }) => samples.map((sample) => ({ legend, sample })))
  if (first === undefined) return [text(x + 8, y + 40, 'no data', 'fill="#888"')]
  const shown = title === 'Mode' ? names(answers).join(', ') : formatted(Number(first.sample.value?.[1]), unit)
  return [
    text(
      x + width / 2,
      y + height / 2 + 18,
      shown,
      `font-size="${shown.length > 9 ? 15 : 24}" text-anchor="middle" fill="#2f6f9e"`,
    ),
  ]
}

function rowsOf({ answers }: PanelResult, { x, y, width, height }: Box): string[] {
  const samples = answers.flatMap(({ samples }) => samples)
  const labels = Object.keys(samples[0]?.metric ?? {}).filter((label) => label !== '__name__')
  const columns = [...labels, 'value']
  const step = (width - 16) / columns.length
  const cells = (values: readonly string[], line: number, style: string) =>
    values.map((value, index) => text(x + 8 + index * step, y + 38 + line * 17, clipped(value, step / 6.5), style))
  const fit = Math.floor((height - 50) / 17)
  return [
    ...cells(columns, 0, 'fill="#555" font-weight="bold"'),
    ...samples
      .slice(0, fit)
      .flatMap(({ metric, value }, index) =>
        cells([...labels.map((label) => metric[label] ?? ''), formatted(Number(value?.[1]), 'short')], index + 1, ''),
      ),
  ]
}

function lines({ answers, unit }: PanelResult, { x, y, width, height }: Box): string[] {
  const series = answers.flatMap(({ legend, samples }) =>
    samples.map((sample) => ({
      name: nameOf(legend, sample),
      points: (sample.values ?? []).map(([at, value]) => [at, Number(value)] as const),
    })),
  )
  const points = series.flatMap((one) => one.points).filter(([, value]) => Number.isFinite(value))
  const [from, to] = [Math.min(...points.map(([at]) => at)), Math.max(...points.map(([at]) => at))]
  const highest = Math.max(...points.map(([, value]) => value))
  const top = highest > 0 ? highest : 1
  const area = { x: x + 56, y: y + 26, width: width - 66, height: height - 62 }
  const place = ([at, value]: readonly [number, number]) =>
    `${(area.x + ((at - from) / Math.max(1, to - from)) * area.width).toFixed(1)},${(area.y + area.height * (1 - value / top)).toFixed(1)}`
  const axis = [0, 0.5, 1].flatMap((share) => {
    const height = area.y + area.height * (1 - share)
    return [
      `<line x1="${area.x}" x2="${area.x + area.width}" y1="${height}" y2="${height}" stroke="#e5e5e5"/>`,
      text(area.x - 5, height + 4, formatted(top * share, unit), 'text-anchor="end" fill="#777" font-size="10"'),
    ]
  })
  const fit = Math.floor((width - 16) / 130)
  return [
    ...axis,
    ...series.map(
      ({ points }, index) =>
        `<polyline fill="none" stroke="${COLOURS[index % COLOURS.length]}" stroke-width="1.6" points="${points
          .filter(([, value]) => Number.isFinite(value))
          .map(place)
          .join(' ')}"/>`,
    ),
    ...series
      .slice(0, fit * 2)
      .map(({ name }, index) =>
        text(
          x + 10 + (index % fit) * 130,
          y + height - 20 + Math.floor(index / fit) * 13,
          clipped(`— ${name}`, 21),
          `font-size="10" fill="${COLOURS[index % COLOURS.length]}"`,
        ),
      ),
  ]
}

function names(answers: PanelResult['answers']): string[] {
  return answers.flatMap(({ legend, samples }) => samples.map((sample) => nameOf(legend, sample)))
}

/** Grafana's `{{label}}`. */
function nameOf(legend: string, { metric }: Sample): string {
  const name = legend.replace(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? '')
  return name.trim() === '' ? 'value' : name.trim()
}

function formatted(value: number, unit: string): string {
  if (!Number.isFinite(value)) return '–'
  if (unit === 'percentunit') return `${round(value * 100)} %`
  if (unit === 's')
    return value >= 172_800 ? `${round(value / 86_400)} d` : value < 1 ? `${round(value * 1000)} ms` : `${round(value)} s`
  const [scaled, prefix] = value >= 1e6 ? [value / 1e6, 'M'] : value >= 1e3 ? [value / 1e3, 'k'] : [value, '']
  const suffix = { Bps: 'B/s', bytes: 'B', reqps: '/s', ops: '/s' }[unit] ?? ''
  return `${round(scaled)}${prefix === '' && suffix === '' ? '' : ' '}${prefix}${suffix}`
}

function round(value: number): string {
  return String(Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(2)))
}

function clipped(value: string, characters: number): string {
  return value.length <= characters ? value : `${value.slice(0, Math.max(1, Math.floor(characters) - 1))}…`
}

function text(x: number, y: number, content: string, style = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${Number(x.toFixed(1))}" y="${Number(y.toFixed(1))}" ${style}>${escaped}</text>`
}
