package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/weft-net/weft/internal/auth"
	"github.com/weft-net/weft/skydive"
)

// buildHandler makes the router of the table and puts around it what every request
// goes through: a count, a deadline, the guard, the bound of the body, and compression.
func (s *Server) buildHandler(table []route) http.Handler {
	mux := http.NewServeMux()
	paths := make(map[string]bool)
	for _, entry := range table {
		mux.Handle(entry.method+" "+entry.path, s.endpoint(entry))
		if !paths[entry.path] {
			paths[entry.path] = true
			s.paths = append(s.paths, entry.path)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recoverPanic(w, r)
		w.Header().Set(skydive.HeaderWeftVersion, s.deps.Version)
		path := r.URL.Path
		if path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			s.welcome(w)
			return
		}
		if len(path) > 1 && strings.HasSuffix(path, "/") {
			s.redirectSlash(w, r, mux)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			s.noRoute(w, r, mux)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// endpoint wraps the handler of one route.
func (s *Server) endpoint(entry route) http.Handler {
	handle := entry.handler(s)
	ws := entry.doc.websocket
	observe := s.metrics.route(entry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		answer := &responseWriter{ResponseWriter: w, control: http.NewResponseController(w), timeout: s.limits.WriteTimeout}
		defer func() { observe(answer.Status(), time.Since(start)) }()
		role, err := s.admit(entry, w, r)
		if err != nil {
			s.refuse(answer, r, err)
			return
		}
		r = withRole(r, role)
		if ws {
			if err := handle(w, r); err != nil {
				s.writeError(answer, r, err)
			}
			return
		}
		// The deadline is for the request's arrival; answers have one a write.
		_ = answer.control.SetReadDeadline(start.Add(s.limits.RequestTimeout))
		if entry.stream {
			s.serveStream(handle, answer, r)
			return
		}
		if r.ContentLength > s.limits.MaxBody {
			w.Header().Set("Connection", "close")
			if r.Header.Get("Expect") == "" { // else the client waits to hear before it sends
				drain(answer.control, r.Body, s.limits.MaxBody)
			}
			s.writeError(answer, r, failf(http.StatusRequestEntityTooLarge, "%s", bodyTooBig(s.limits.MaxBody)))
			return
		}
		raw := r.Body
		r.Body = s.paced(r, answer.control, start.Add(s.limits.RequestTimeout))
		body := s.bodies.meter(http.MaxBytesReader(w, r.Body, s.limits.MaxBody))
		defer body.release()
		r.Body = body
		packed := s.compress(answer, r)
		if err := handle(packed, r); err != nil {
			packed.reset()
			if bodyRefused(err) {
				body.release() // others may need it meanwhile
				drain(answer.control, raw, s.limits.MaxBody)
			}
			s.writeError(packed, r, err)
		}
		packed.Close()
	})
}

// serveStream is for bodies that are not held: they may be of any size and take any time,
// as long as they come at the least rate.
func (s *Server) serveStream(handle handlerFunc, answer *responseWriter, r *http.Request) {
	raw := r.Body
	r.Body = s.paced(r, answer.control, time.Time{})
	packed := s.compress(answer, r)
	if err := handle(packed, r); err != nil {
		packed.reset()
		if _, slow := slowIn(err); !slow && r.Header.Get("Expect") == "" {
			drain(answer.control, raw, s.limits.MaxBody)
		}
		s.writeError(packed, r, err)
	}
	packed.Close()
}

// roleKey is where the context of a request has the role of its user.
type roleKey struct{}

func withRole(r *http.Request, role auth.Role) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), roleKey{}, role))
}

func roleIn(ctx context.Context) auth.Role {
	role, _ := ctx.Value(roleKey{}).(auth.Role)
	return role
}

// admit checks where a request comes from, who sent it, and whether that user may. It returns the user's role.
func (s *Server) admit(entry route, w http.ResponseWriter, r *http.Request) (auth.Role, error) {
	if !entry.plain {
		if err := s.guard.Check(r); err != nil {
			return "", &httpError{http.StatusForbidden, err}
		}
	}
	if entry.public {
		return "", nil
	}
	id, err := s.auth.Authenticate(r)
	if err != nil {
		return "", err
	}
	if entry.object != "" && !id.Role.Allows(entry.object, entry.action) {
		// Skydive refuses so: 403 for WebSockets, 405 for the rest.
		status, what := http.StatusMethodNotAllowed, entry.action+" "+entry.object
		if entry.doc.websocket {
			status, what = http.StatusForbidden, "use "+entry.action // which is its path
		}
		return "", failf(status, "user %q (%s) may not %s: ask for the role %s", id.User, id.Role, what, auth.RoleAdmin)
	}
	if entry.doc.websocket {
		http.SetCookie(w, permissionsCookie(id.Role))
	}
	return id.Role, nil
}

// refuse answers a request that was not admitted.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var limited *auth.RateError
	switch {
	case errors.As(err, &limited):
		w.Header().Set("Retry-After", strconv.Itoa(int(limited.RetryAfter.Seconds())+1))
		err = &httpError{http.StatusTooManyRequests, err}
	case errors.Is(err, auth.ErrDenied), errors.Is(err, auth.ErrUnauthenticated):
		w.Header().Set("WWW-Authenticate", `Bearer realm="weft"`)
		err = &httpError{http.StatusUnauthorized, err}
	}
	s.writeError(w, r, err)
}

// redirectSlash sends /api/ to /api, as Skydive's router does.
func (s *Server) redirectSlash(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	bare := r.Clone(r.Context())
	bare.URL.Path = strings.TrimRight(r.URL.Path, "/")
	bare.URL.RawPath = ""
	if _, pattern := mux.Handler(bare); pattern == "" {
		s.noRoute(w, r, mux)
		return
	}
	status := http.StatusMovedPermanently
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		status = http.StatusPermanentRedirect // keeps method and body
	}
	http.Redirect(w, r, bare.URL.String(), status)
}

// noRoute answers what no route takes: 405 with Allow when another method would do, else
// 404 with the nearest path.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	s.metrics.unrouted.Inc()
	if err := s.guard.Check(r); err != nil {
		s.writeError(w, r, &httpError{http.StatusForbidden, err})
		return
	}
	var allowed []string
	for _, method := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := mux.Handler(probe); pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.writeError(w, r, failf(http.StatusMethodNotAllowed, "%s does not take %s: use %s", r.URL.Path, r.Method, strings.Join(allowed, " or ")))
		return
	}
	path := r.URL.Path
	text := fmt.Sprintf("no such path: %s", clip(path))
	if near := nearest(path, s.paths); near != "" {
		text += ", the nearest is " + near
	}
	s.writeError(w, r, failf(http.StatusNotFound, "%s (all are in /api/openapi.json)", text))
}

// recoverPanic keeps a bug in one request from ending the process.
func (s *Server) recoverPanic(w http.ResponseWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	s.metrics.panics.Inc()
	s.log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	http.Error(w, "internal error: see the server's log", http.StatusInternalServerError)
}

// clip shortens a text that a client sent before it is put into an answer.
func clip(text string) string {
	const limit = 200
	if len(text) <= limit {
		return text
	}
	return text[:limit] + "…"
}

// nearest returns the path with the fewest edits to the asked one, "" when none is near.
func nearest(asked string, paths []string) string {
	if len(asked) > 100 {
		return ""
	}
	best, least := "", len(asked)/2+1
	for _, path := range paths {
		if n := edits(asked, path); n < least {
			best, least = path, n
		}
	}
	return best
}

// edits is the Levenshtein distance of two short texts.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
