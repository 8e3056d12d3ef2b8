// Package deploy holds only tests: the manifests and the compose file of the folder
// deploy are decoded strictly by the types of Kubernetes and by the library of
// compose, and the programs run with the arguments that stand there. It is a module
// of its own, so that nobody else gets those libraries.
package deploy
