import { readWorkspace, type WorkspaceFacts } from '../core/azure/workspace-file.ts'
import { printable } from '../io/config/load.ts'
import { type CommandIo, EXIT } from './command-io.ts'
import { readGivenJson } from './read-json.ts'

export interface InitOptions {
  readonly workspace: string
}

/** Prints a config for one workspace, from what `az ml workspace show -o json` says of it. */
export async function init({ workspace }: InitOptions, io: CommandIo): Promise<number> {
  const value = await readGivenJson(workspace, io)
  const facts = value.ok ? readWorkspace(value.value) : value
  if (!facts.ok) {
    io.stderr.write(`${printable(facts.error)}\n`)
    return EXIT.failed
  }
  io.stdout.write(
    configFor(facts.value)
      .map((line) => `${printable(line)}\n`)
      .join(''),
  )
  return EXIT.ok
}

function configFor(facts: WorkspaceFacts): string[] {
  const { name, cloud, region, storageAccounts, containerRegistries, keyVaults, managedNetwork, hasPrivateEndpoint } = facts
  const list = (names: readonly string[]) => `[${names.join(', ')}]`
  return [
    `# Sallyport for the workspace ${JSON.stringify(name)}, made by \`sallyport init\`. Then: \`sallyport check --config gateway.yaml\``,
    ...(managedNetwork
      ? [
          '# The workspace has a managed network: what runs in it does not pass a gateway of yours. `sallyport export --to managed-vnet` makes',
          '# outbound rules for it; this config is for what runs in your own subnets.',
        ]
      : []),
    `cloud: ${cloud}`,
    'workspace:',
    `  regions: [${region}]`,
    `  storageAccounts: ${list(storageAccounts)}`,
    `  containerRegistries: ${list(containerRegistries)}${containerRegistries.length === 0 ? ' # the workspace has none yet: it is made with the first image' : ''}`,
    ...(keyVaults.length > 0 ? [`  keyVaults: ${list(keyVaults)}`] : []),
    ...(hasPrivateEndpoint
      ? ['  # Public access is off, so its names resolve to private endpoints: name their subnet here.', '  privateEndpoints: []']
      : []),
    '# A day in report mode shows what else is asked for; then `sallyport suggest`, and `mode: enforce`.',
    'mode: report',
    'clients:',
    '  allow: ["127.0.0.0/8", "::1/128"] # and the subnet whose egress this is',
    'rules: []',
  ]
}
