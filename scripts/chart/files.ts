import { readFileSync } from 'node:fs'
import { REASONS } from '../../src/core/policy/reasons.ts'
import { azureRuleGroups } from './azure-rule-groups.ts'
import { denialsDashboard } from './dashboards/denials.ts'
import { overviewDashboard } from './dashboards/overview.ts'
import { valuesSchema } from './values-schema.ts'
import { valuesTable } from './values-table.ts'

/** What is made for the chart from other files; committed, and a test fails when one is stale. */
export interface ChartFile {
  /** From the repository's folder. */
  readonly name: string
  readonly text: string
}

/** @param read gives a file of the repository by its name */
export function chartFiles(read: (name: string) => string): readonly ChartFile[] {
  const readme = read('helm/README.md')
  return [
    { name: 'helm/values.schema.json', text: json(valuesSchema(JSON.parse(read('config/gateway.schema.json')))) },
    {
      name: 'helm/README.md',
      text: between(readme, '<!-- values -->', '<!-- /values -->', valuesTable(read('helm/values.yaml'))),
    },
    { name: 'helm/dashboards/overview.json', text: json(overviewDashboard()) },
    { name: 'helm/dashboards/denials.json', text: json(denialsDashboard(REASONS)) },
    { name: 'deploy/azure/prometheus-rule-groups.json', text: json(azureRuleGroups(read('helm/alerts/sallyport.yaml'))) },
  ]
}

/** @param root the repository's folder */
export function readFrom(root: URL): (name: string) => string {
  return (name) => readFileSync(new URL(name, root), 'utf8')
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function between(text: string, begin: string, end: string, content: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`\`${begin}\` ... \`${end}\` is missing`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}
