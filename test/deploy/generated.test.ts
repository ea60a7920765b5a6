import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { chartFiles, readFrom } from '../../scripts/chart/files.ts'
import { ROOT } from '../support/helm.ts'

describe('what is generated for the chart', () => {
  for (const { name, text } of chartFiles(readFrom(pathToFileURL(ROOT)))) {
    it(`${name} is not stale`, () => {
      const committed = readFileSync(`${ROOT}${name}`, 'utf8')
      expect(committed === text, `${name} is stale; run \`npm run generate\``).toBe(true)
    })
  }
})

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly description?: string
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } }
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly datasource: { readonly uid: string } }[]
  readonly panels?: readonly Panel[]
}

describe.each(['overview', 'denials'])('the dashboard %s', (name) => {
  const board = JSON.parse(readFileSync(`${ROOT}helm/dashboards/${name}.json`, 'utf8'))
  const panels: readonly Panel[] = board.panels.flatMap((panel: Panel) => [panel, ...(panel.panels ?? [])])
  const shown = panels.filter(({ type }) => type !== 'row')

  it('says of every panel what it shows, and in which unit', () => {
    expect(shown.filter(({ description = '' }) => description.length < 20).map(({ title }) => title)).toEqual([])
    const figures = shown.filter(({ type }) => type !== 'text' && type !== 'logs')
    expect(figures.filter(({ fieldConfig }) => !fieldConfig?.defaults.unit).map(({ title }) => title)).toEqual([])
  })

  it('numbers every panel once, and puts none outside the grid or on another', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const cells = new Map<string, string>()
    for (const { title, gridPos } of board.panels as Panel[]) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.get(`${x},${y}`), `${title} overlaps`).toBeUndefined()
          cells.set(`${x},${y}`, title)
        }
    }
  })

  it('asks the data source that was chosen, of the gateways that were chosen', () => {
    expect(board.templating.list.map((variable: { name: string }) => variable.name)).toEqual(
      expect.arrayContaining(['datasource', 'namespace', 'pod']),
    )
    for (const { title, targets = [] } of shown)
      for (const { expr, datasource } of targets) {
        expect(datasource.uid, title).toMatch(/^\$(datasource|loki)$/)
        expect(expr, title).toContain('namespace=~"$namespace"')
      }
  })
})
