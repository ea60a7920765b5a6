/**
 * As much of the types of @azure/arm-network 39.0.0 (MIT, src/models/network/models.ts) as an exported rule collection group touches: written
 * down here since the package is 64 MB and needs Node 22. Fields that are optional there are optional here; nothing else is known.
 */
export interface FirewallPolicyRuleCollectionGroupProperties {
  priority?: number
  ruleCollections?: FirewallPolicyFilterRuleCollection[]
}

export interface FirewallPolicyFilterRuleCollection {
  ruleCollectionType: 'FirewallPolicyFilterRuleCollection'
  name?: string
  priority?: number
  action?: { type?: 'Allow' | 'Deny' }
  rules?: (ApplicationRule | NetworkRule)[]
}

interface FirewallPolicyRule {
  name?: string
  description?: string
}

export interface ApplicationRule extends FirewallPolicyRule {
  ruleType: 'ApplicationRule'
  sourceAddresses?: string[]
  destinationAddresses?: string[]
  protocols?: { protocolType?: 'Http' | 'Https'; port?: number }[]
  targetFqdns?: string[]
  targetUrls?: string[]
  fqdnTags?: string[]
  sourceIpGroups?: string[]
  terminateTLS?: boolean
  webCategories?: string[]
  httpHeadersToInsert?: { headerName?: string; headerValue?: string }[]
}

export interface NetworkRule extends FirewallPolicyRule {
  ruleType: 'NetworkRule'
  ipProtocols?: ('TCP' | 'UDP' | 'Any' | 'ICMP')[]
  sourceAddresses?: string[]
  destinationAddresses?: string[]
  destinationPorts?: string[]
  sourceIpGroups?: string[]
  destinationIpGroups?: string[]
  destinationFqdns?: string[]
}
