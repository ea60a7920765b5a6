import { describe, expect, it } from 'vitest'
import { writeReport } from '../../bench/report.mjs'

const rounds = (...values: number[]) => values.map((value) => ({ value }))
const rated = (...pairs: (readonly [number, number])[]) => pairs.map(([value, rate]) => ({ value, rate }))

/** Figures of a run that never was. */
function report() {
  const peer = (name: string, title: string) => ({
    peer: { name, title, log: 'its log' },
    version: '1.2',
    denies: 'answered with 403',
  })
  return {
    facts: {
      cpu: 'a processor',
      kernel: '6.1',
      cores: 2,
      memoryGb: 16,
      shared: 0,
      rounds: 3,
      quick: false,
      nodes: ['v24.1.0', 'v20.19.0'],
      version: '0.1.0',
      idleTunnels: 8_000,
      seconds: 99,
    },
    proxies: [
      peer('sallyport-kernel-24', 'Sallyport'),
      peer('sallyport-portable-24', 'Sallyport, portable'),
      peer('squid', 'Squid'),
      peer('pipe-24', '`pipe` <plain>'),
    ],
    results: new Map([
      [
        'setup',
        new Map([
          ['sallyport-kernel-24', rounds(80, 100, 60)],
          // The second round was a bad one for all: its ratio is like the others'.
          ['squid', rounds(160, 200, 100)],
        ]),
      ],
      [
        'denied',
        new Map([
          ['sallyport-kernel-24', rounds(40, 40, 40)],
          ['squid', rounds(60, 60, 60)],
        ]),
      ],
      ['forward-kept', new Map()],
      ['forward-new', new Map()],
      ['down-1', new Map()],
      [
        'down-4',
        new Map([
          ['sallyport-kernel-24', rated([200, 1500], [210, 1600], [190, 1700])],
          ['sallyport-portable-24', rated([900, 800], [910, 800], [990, 800])],
          ['squid', rated([800, 500], [800, 500], [800, 500])],
          ['pipe-24', rated([1000, 800], [1000, 800], [1000, 800])],
          ['direct', rated([0, 2000], [0, 2000], [0, 2000])],
        ]),
      ],
      ['down-64', new Map()],
      ['up-1', new Map()],
      ['up-small-4', new Map()],
    ]),
    latency: new Map([['squid', [{ rate: 3000, p50Us: 400, p99Us: 2_000 }]]]),
    memory: new Map([
      ['sallyport-kernel-24', { tunnels: 8_000, bytes: [6_000, 6_100, 6_200] }],
      ['squid', { tunnels: 8_000, bytes: [30_000, 31_000, 32_000] }],
    ]),
    workers: [{ one: 100, two: 130, shares: [0.7, 0.3] }],
    decisions: '',
    left: ['somebody: could not be installed'],
  }
}

const lineOf = (text: string, start: string) => text.split('\n').find((line) => line.startsWith(start))

describe('the report of a benchmark', () => {
  const { markdown, svg, summary } = writeReport(report())

  it('has the middle of the rounds, their spread, and rates per CPU second', () => {
    expect(markdown).toContain('| Sallyport | 80 (60 to 100) | 12,500 | 0.50 |')
    expect(markdown).toContain('| Squid | 160 (100 to 200) | 6,250 | 1.00 |')
  })

  const targets = [
    {
      start: '| CPU of a set-up',
      end: '| at most 0.75 | 0.50 | met |',
      because: 'ratios are taken within a round, and then the middle one',
    },
    { start: '| CPU of bulk', end: '| at most 0.35 | 0.25 | met |', because: 'it is a quarter' },
    { start: '| wall throughput', end: '| at least 0.75 | 0.80 | met |', because: 'more is better' },
    { start: '| memory', end: '| at most 0.25 | 0.20 | met |', because: 'it is a fifth' },
    { start: '| denied', end: '| at least 2 | 1.50 | missed |', because: 'a rate is the inverse of a cost' },
    { start: '| two workers: CPU', end: '| at most 1.15 | 1.30 | missed |', because: 'it is 30 percent more' },
    { start: '| two workers: the smaller', end: '| at least 0.35 | 0.30 | missed |', because: 'the smaller share counts' },
    { start: '| portable relay', end: '| at most 1 | 0.91 | met |', because: 'the worst of the cases that both have' },
  ] as const
  for (const { start, end, because } of targets)
    it(`says of a target whether it is met: ${start}: ${because}`, () => expect(lineOf(summary, start)).toContain(end))

  it('says what was not measured', () => {
    const { summary: empty } = writeReport({ ...report(), memory: new Map(), workers: [] })
    expect(lineOf(empty, '| memory')).toContain('| not measured |')
    expect(lineOf(empty, '| two workers: CPU')).toContain('| not measured |')
  })

  it('leaves out cases without figures, and says who was left out and why', () => {
    expect(markdown).not.toContain('64 tunnels')
    expect(markdown).toContain('* somebody: could not be installed')
  })

  it('tells which Node ran, and says nothing of a shared machine that was not', () => {
    expect(markdown).toContain('Node v24.1.0 and v20.19.0')
    expect(markdown).not.toContain('shared')
    const busy = report()
    expect(writeReport({ ...busy, facts: { ...busy.facts, shared: 3.2 } }).markdown).toContain('its load average was 3.2')
  })

  it('has a table whose rows all have as many cells as its head', () => {
    for (const block of markdown.split('\n\n').filter((text) => text.startsWith('|'))) {
      const cells = block
        .trimEnd()
        .split('\n')
        .map((row) => row.split('|').length)
      expect(new Set(cells).size, block).toBe(1)
    }
  })

  it('draws bars in proportion, in XML that can be read', () => {
    const widths = [...svg.matchAll(/<rect x="290" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width))
    expect(widths.slice(0, 2)).toEqual([210, 420])
    expect(svg).not.toMatch(/<plain>|&(?!lt;|amp;)/)
  })
})
