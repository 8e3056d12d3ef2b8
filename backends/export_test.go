package backends

// NotRegistered is the message about a scheme that nothing has registered.
var NotRegistered = notRegistered

// Packages are the schemes with the packages that register them.
func Packages() map[string]string { return packages }
