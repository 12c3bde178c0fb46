// Package eval decides what documents of IAM mean for one request, as AWS does.
//
// A denial anywhere wins. Else identity or resource must allow the action, and the session's policy too, where there is
// one. What is not allowed is denied. All of it is pure: the request carries what conditions ask for.
//
// It promises to err to the side of denial: a condition that it cannot read does not hold in a statement that allows, and holds
// in one that denies. It leaves out what isthmus has no use for: permissions boundaries, service control policies, and
// resource policies that name a session itself, which pass by its session policy at AWS and do not here. Allowing between
// accounts takes both sides, which the caller asks for one after the other.
package eval
