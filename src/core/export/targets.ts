import type { CidrSet } from '../names/cidr.ts'
import type { Policy } from '../policy/policy.ts'
import { type AzureFirewallRules, azureFirewallRules } from './azure-firewall.ts'
import { armTemplate, azCli, bicep, terraform } from './azure-firewall-text.ts'
import type { Exported } from './export-rule.ts'
import { managedVnetRules } from './managed-vnet.ts'
import { squidRules } from './squid.ts'
import { csv, markdown } from './tables.ts'

export interface ExportOptions {
  /** Of the rule collection group of Azure Firewall. */
  readonly priority: number
  /** Ranges of the subnet whose traffic it is. */
  readonly sources: readonly string[]
  readonly clients: CidrSet
}

type Target = (policy: Policy, options: ExportOptions) => Exported

const firewall =
  (render: (rules: AzureFirewallRules) => Exported): Target =>
  (policy, options) =>
    render(azureFirewallRules(policy, options))

/** What the allowlist is exported to, by the name one types. */
export const EXPORT_TARGETS = {
  'azure-firewall-arm': firewall(armTemplate),
  'azure-firewall-bicep': firewall(bicep),
  'azure-firewall-terraform': firewall(terraform),
  'azure-firewall-cli': firewall(azCli),
  'managed-vnet': managedVnetRules,
  squid: squidRules,
  csv,
  markdown,
} as const satisfies Readonly<Record<string, Target>>
