# usgovtexas (US Gov Texas) is paired with usgovvirginia (US Gov Virginia)
# usgovtexas: sources disagree: the documentation of 2025 pairs US Gov Texas with US Gov Virginia, another table with US Gov Arizona
# this traffic passes the gateway by, in both directions: what nodes send to these addresses themselves is neither judged nor logged there
# the inbound rules belong to the security group of the compute subnet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n AzureMLRoute --address-prefix AzureMachineLearning --next-hop-type Internet
az network route-table route create -g MyResourceGroup --route-table-name MyRouteTable -n BatchRoute --address-prefix BatchNodeManagement --next-hop-type Internet
az network nsg rule create -g MyResourceGroup --nsg-name MyNetworkSecurityGroup -n AzureMLInbound --priority 200 --direction Inbound --access Allow --protocol Tcp --source-address-prefixes AzureMachineLearning --source-port-ranges '*' --destination-address-prefixes VirtualNetwork --destination-port-ranges 44224
az network nsg rule create -g MyResourceGroup --nsg-name MyNetworkSecurityGroup -n BatchInbound --priority 210 --direction Inbound --access Allow --protocol Tcp --source-address-prefixes BatchNodeManagement.usgovtexas --source-port-ranges '*' --destination-address-prefixes VirtualNetwork --destination-port-ranges 29876-29877
