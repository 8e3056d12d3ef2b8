// Package deploy holds only tests of the folder deploy. They decode the manifests and
// the compose file strictly, by the types of Kubernetes and by the library of compose.
// Then they run the programs with the arguments that stand there. It is a module of its
// own, so that nobody else gets those libraries.
package deploy
