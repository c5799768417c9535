package auth

import "fmt"

// Role decides what a user may do.
type Role string

// The two roles, with Skydive's names.
const (
	RoleAdmin Role = "admin"
	RoleGuest Role = "guest"
)

// Actions on objects. For the object ObjectWebSocket the action is the endpoint's path.
const (
	ActionRead  = "read"
	ActionWrite = "write"

	ObjectWebSocket = "websocket"
)

// Permission is one line of what a role may do, in the form that /login answers and
// that the permissions cookie carries.
type Permission struct {
	Object  string `json:"Object"`
	Action  string `json:"Action"`
	Allowed bool   `json:"Allowed"`
}

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, error) {
	switch r := Role(name); r {
	case RoleAdmin, RoleGuest:
		return r, nil
	}
	return "", fmt.Errorf("unknown role %q: use %s or %s", name, RoleAdmin, RoleGuest)
}

// guestMay lists all that a guest may do; an administrator may do everything.
var guestMay = map[[2]string]bool{
	{"status", ActionRead}:              true,
	{"topology", ActionRead}:            true,
	{"metrics", ActionRead}:             true,
	{ObjectWebSocket, "/ws/subscriber"}: true,
}

// Allows says whether the role may perform the action on the object.
func (r Role) Allows(object, action string) bool {
	switch r {
	case RoleAdmin:
		return true
	case RoleGuest:
		return guestMay[[2]string{object, action}]
	}
	return false
}
