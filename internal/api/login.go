package api

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
)

// login answers POST /login with a token, in the body and as a cookie.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return formError(err)
	}
	session, err := s.auth.Login(r.Context(), auth.RemoteAddr(r), r.PostForm.Get(skydive.FormUsername), r.PostForm.Get(skydive.FormPassword))
	if err != nil {
		s.refuse(w, r, err)
		return nil
	}
	cookie := &http.Cookie{
		Name: auth.CookieToken, Value: session.Token, Path: "/",
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	}
	if !session.Expires.IsZero() {
		cookie.MaxAge = int(session.Expires.Sub(s.now()) / time.Second)
	}
	http.SetCookie(w, cookie)
	http.SetCookie(w, permissionsCookie(session.Role))
	text, err := json.Marshal(skydive.LoginReply{Token: session.Token, Permissions: permissionsOf(session.Role)})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", contentJSON)
	_, err = w.Write(text)
	return err
}

// permissionsOf lists what a role may do, from the table of routes.
func permissionsOf(role auth.Role) []skydive.Permission {
	var list []skydive.Permission
	seen := make(map[[2]string]bool)
	for _, entry := range routes() {
		key := [2]string{entry.object, entry.action}
		if entry.object == "" || seen[key] {
			continue
		}
		seen[key] = true
		list = append(list, skydive.Permission{Object: entry.object, Action: entry.action, Allowed: role.Allows(entry.object, entry.action)})
	}
	return list
}

func permissionsCookie(role auth.Role) *http.Cookie {
	text, err := json.Marshal(permissionsOf(role))
	if err != nil {
		text = []byte("[]") // plain structs: it cannot happen
	}
	return &http.Cookie{Name: auth.CookiePermissions, Value: base64.StdEncoding.EncodeToString(text), Path: "/", SameSite: http.SameSiteStrictMode}
}
