package backends

import (
	"cmp"
	"fmt"
	"io/fs"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sojourn-go/sojourn/model"
)

// Form is how the value of a URL's parameter is written.
type Form string

// The forms of values.
const (
	FormText     Form = "text"
	FormNames    Form = "names"    // separated by commas; none at all is the empty list
	FormNumber   Form = "number"   // a whole number
	FormSwitch   Form = "switch"   // true or false
	FormDuration Form = "duration" // such as 90s or 1h30m
	FormMode     Form = "mode"     // of a file, in octal digits such as 0640
)

// Param describes one query parameter of a backend's URLs.
type Param struct {
	// Name is how URLs spell it. It is empty for a field of the backend's
	// Options that only code can set.
	Name string
	Form Form
	// Field is the field of the backend's Options that it sets, or empty.
	Field string
	// Doc says what it means, if Field does not.
	Doc string
	// Min and Max limit a number that a library gets. Both zero mean no limit.
	Min, Max int
	// Repeated parameters may be given more than once.
	Repeated bool
	// Secret parameters are not printed: see Redact.
	Secret bool
	// AnyCase parameters may be written in upper and lower case.
	AnyCase bool
}

// Params are the query parameters of a backend's URLs. The backend binds each
// of them to a variable, and then lets Parse set the variables. What is bound
// is also what is documented and what an error names, so the three agree.
type Params struct {
	all []binding
	err error // a mistake in the bindings
}

type binding struct {
	Param
	set func(values []string) bool
}

// Options binds the fields of a struct of options: max_value sets MaxValue. A
// field of a type without a Form, such as a logger, is left to code.
func (p *Params) Options(options any) {
	v := reflect.ValueOf(options)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		p.err = model.NewError(model.ErrInvalid, "Params.Options needs a pointer to a struct", nil)
		return
	}
	v = v.Elem()
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		param := Param{Name: snake(field.Name), Field: field.Name}
		switch to := v.Field(i).Addr().Interface().(type) {
		case *string:
			p.bindText(to, param)
		case *[]string:
			p.bindNames(to, param)
		case *int:
			p.bindNumber(to, param)
		case *bool:
			p.bindSwitch(to, param)
		case *time.Duration:
			p.bindDuration(to, param)
		case *fs.FileMode:
			p.bindMode(to, param)
		default:
			p.bind(Param{Field: field.Name}, nil)
		}
	}
}

// Text binds a text.
func (p *Params) Text(to *string, name, doc string) { p.bindText(to, Param{Name: name, Doc: doc}) }

// Name binds the store's name, such as that of a table. What says whose name it
// is. Without one in the URL, or with an empty one, it is DefaultName.
func (p *Params) Name(to *string, name, what string) {
	*to = DefaultName
	doc := what + " The default is " + DefaultName + "."
	p.bind(Param{Name: name, Doc: doc, Form: FormText}, func(values []string) bool { *to = cmp.Or(values[0], DefaultName); return true })
}

// Secret binds a text that is not printed.
func (p *Params) Secret(to *string, name, doc string) {
	p.bindText(to, Param{Name: name, Doc: doc, Secret: true})
}

// Texts binds a parameter that may be given more than once.
func (p *Params) Texts(to *[]string, name, doc string) {
	p.bind(Param{Name: name, Doc: doc, Form: FormText, Repeated: true}, func(values []string) bool { *to = values; return true })
}

// Switch binds a switch.
func (p *Params) Switch(to *bool, name, doc string) { p.bindSwitch(to, Param{Name: name, Doc: doc}) }

// Pass binds a parameter that the backend hands to its client's library, which
// judges the value. Only its form and the limits of a number are checked. A
// duration may be a whole number too, for libraries that take one.
func (p *Params) Pass(to url.Values, param Param) {
	p.bind(param, func(values []string) bool {
		n, notNumber := strconv.Atoi(values[0])
		switch {
		case param.Min != 0 || param.Max != 0:
			if notNumber != nil || n < param.Min || n > param.Max {
				return false
			}
		case param.Form == FormDuration:
			if _, err := time.ParseDuration(values[0]); err != nil && notNumber != nil {
				return false
			}
		case param.Form == FormSwitch:
			if _, err := strconv.ParseBool(values[0]); err != nil {
				return false
			}
		}
		to[param.Name] = values
		return true
	})
}

func (p *Params) bindText(to *string, param Param) {
	param.Form = FormText
	p.bind(param, func(values []string) bool { *to = values[0]; return true })
}

func (p *Params) bindNames(to *[]string, param Param) {
	param.Form = FormNames
	p.bind(param, func(values []string) bool {
		*to = []string{}
		if values[0] != "" {
			*to = strings.Split(values[0], ",")
		}
		return true
	})
}

func (p *Params) bindNumber(to *int, param Param) {
	param.Form = FormNumber
	p.bind(param, func(values []string) (ok bool) {
		n, err := strconv.Atoi(values[0])
		*to = n
		return err == nil
	})
}

func (p *Params) bindSwitch(to *bool, param Param) {
	param.Form = FormSwitch
	p.bind(param, func(values []string) (ok bool) {
		on, err := strconv.ParseBool(values[0])
		*to = on
		return err == nil
	})
}

func (p *Params) bindDuration(to *time.Duration, param Param) {
	param.Form = FormDuration
	p.bind(param, func(values []string) (ok bool) {
		d, err := time.ParseDuration(values[0])
		*to = d
		return err == nil
	})
}

func (p *Params) bindMode(to *fs.FileMode, param Param) {
	param.Form = FormMode
	p.bind(param, func(values []string) (ok bool) {
		mode, err := strconv.ParseUint(values[0], 8, 9)
		*to = fs.FileMode(mode)
		return err == nil
	})
}

func (p *Params) bind(param Param, set func(values []string) bool) {
	if param.Name != "" && p.find(param.Name) != nil {
		p.err = model.NewError(model.ErrInvalid, fmt.Sprintf("the backend has two parameters %q", param.Name), nil)
	}
	p.all = append(p.all, binding{param, set})
}

// find returns the binding of the parameter that a URL spells so.
func (p *Params) find(name string) *binding {
	for i := range p.all {
		b := &p.all[i]
		if b.Name == "" {
			continue
		}
		if b.Name == name || b.AnyCase && strings.EqualFold(b.Name, name) {
			return b
		}
	}
	return nil
}

// List describes the bound parameters, for Register.
func (p *Params) List() []Param {
	list := make([]Param, len(p.all))
	for i := range p.all {
		list[i] = p.all[i].Param
	}
	return list
}

// Parse sets the variables that the URL has parameters for, and leaves the
// others. It returns ErrInvalid for a parameter that is unknown, given twice or
// has a value of another form, and for a fragment. Its errors quote no value.
func (p *Params) Parse(u *url.URL) error {
	fail := func(detail string) error { return model.NewError(model.ErrInvalid, detail, nil) }
	if p.err != nil {
		return p.err
	}
	if suspect(u) {
		return fail("the URL has a part that looks like a password: write %3F, %23, %2F and %40 for ? # / and @ in one")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return fail("the URL's parameters cannot be parsed: they are joined by & and other signs are escaped by %")
	}
	given := map[*binding]bool{}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b := p.find(name)
		switch values := query[name]; {
		case b == nil && values[0] == "":
			// The name may be the end of a value with an & in it.
			return fail("an unknown parameter without a value; known are: " + p.known())
		case b == nil:
			return fail(p.unknown(name) + "; known are: " + p.known())
		case given[b], len(values) > 1 && !b.Repeated:
			return fail(fmt.Sprintf("the parameter %q is given twice; known are: %s", b.Name, p.known()))
		case !b.set(values):
			return fail(fmt.Sprintf("the parameter %q is no %s", b.Name, b.wanted()))
		}
		given[b] = true
	}
	return nil
}

// unknown says that a parameter is not known. It prints only a name that looks
// like one: after an & that is not escaped, a password goes on as a name.
func (p *Params) unknown(name string) string {
	for i := range p.all {
		if known := p.all[i].Name; known != "" && strings.EqualFold(known, name) {
			return fmt.Sprintf("the parameter %q is given in other upper and lower case", known)
		}
	}
	if !looksLikeName(name) {
		return "a parameter that is not known (write %26 for an & in a password)"
	}
	return fmt.Sprintf("unknown parameter %q%s", name, didYouMean(name, p.names()))
}

func looksLikeName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return name != "" && len(name) <= 32
}

// names returns the names of the parameters that a URL may have.
func (p *Params) names() []string {
	var names []string
	for i := range p.all {
		if name := p.all[i].Name; name != "" {
			names = append(names, name)
		}
	}
	return names
}

// known names the parameters, for errors.
func (p *Params) known() string {
	if names := p.names(); len(names) > 0 {
		return strings.Join(names, ", ")
	}
	return "none"
}

func (b *binding) wanted() string {
	switch {
	case b.Min != 0 || b.Max != 0:
		return fmt.Sprintf("number from %d to %d", b.Min, b.Max)
	case b.Form == FormNumber:
		return "whole number"
	case b.Form == FormSwitch:
		return "switch: true or false"
	case b.Form == FormMode:
		return "mode: octal digits such as 0640"
	default:
		return string(b.Form) + " such as 90s or 1h30m"
	}
}

// snake returns a field's name as parameters are spelt: GraceTTL is grace_ttl.
func snake(field string) string {
	in := []rune(field)
	var out []rune
	for i, c := range in {
		begins := i > 0 && unicode.IsUpper(c) && (unicode.IsLower(in[i-1]) || i+1 < len(in) && unicode.IsLower(in[i+1]))
		if begins {
			out = append(out, '_')
		}
		out = append(out, unicode.ToLower(c))
	}
	return string(out)
}
